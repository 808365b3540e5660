"""SQLAlchemy's side of the seam to a portal's database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from sqlalchemy import Connection, Engine, TextClause, text

from portalbus.producers.intents.statements import known_dialect


class EngineTransactions:
    """Transactions of an engine. Raises ValueError for a database other than PostgreSQL, MySQL, MariaDB and SQLite."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.dialect = known_dialect(engine.dialect.name)

    @contextmanager
    def transaction(self) -> Iterator[ConnectionStatements]:
        """One transaction of its own."""
        with self.engine.begin() as connection:
            check_transactional(connection)
            yield ConnectionStatements(connection)


class ConnectionStatements:
    """Statements on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def rows(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        """What a query gives."""
        return [tuple(row) for row in self._connection.execute(_text(statement), values)]

    def run(self, statement: str, **values: Any) -> int:
        """Runs a change; returns how many rows it touched."""
        return self._connection.execute(_text(statement), values).rowcount

    def run_many(self, statement: str, values: Sequence[Mapping[str, Any]]) -> None:
        """Runs a change once for each mapping."""
        if values:
            self._connection.execute(_text(statement), [dict(one) for one in values])


def check_transactional(connection: Connection) -> None:
    """Raises ValueError when each statement would commit by itself: the event would not belong to the change."""
    asked = connection.get_execution_options().get("isolation_level")
    usual = getattr(connection.dialect, "_on_connect_isolation_level", None)  # what create_engine() was given
    if (asked or usual) == "AUTOCOMMIT":
        raise ValueError("this connection commits each statement by itself (AUTOCOMMIT): publish in a transaction")


@cache
def _text(statement: str) -> TextClause:
    return text(statement)
