"""Django's side of the seam to a portal's database."""

# mypy: disable-error-code="import-untyped,misc"

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from django.db import connections, transaction
from django.db.backends.utils import CursorWrapper

from portalbus.producers.intents.statements import known_dialect


class DjangoTransactions:
    """Transactions of the database with this alias, on the connection that Django keeps for each thread."""

    def __init__(self, alias: str) -> None:
        """Raises ValueError for a database other than PostgreSQL, MySQL, MariaDB and SQLite."""
        self._alias = alias
        self.dialect = known_dialect(connections[alias].vendor)

    @contextmanager
    def transaction(self) -> Iterator[CursorStatements]:
        """One transaction of its own; a connection that broke before is opened again."""
        connection = connections[self._alias]
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
        with transaction.atomic(self._alias, durable=True), connection.cursor() as cursor:
            yield CursorStatements(cursor)


class CursorStatements:
    """Statements on one cursor."""

    def __init__(self, cursor: CursorWrapper) -> None:
        self._cursor = cursor

    def rows(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        """What a query gives."""
        self._cursor.execute(_in_django(statement), values)
        return list(self._cursor.fetchall())

    def run(self, statement: str, **values: Any) -> int:
        """Runs a change; returns how many rows it touched."""
        self._cursor.execute(_in_django(statement), values)
        return int(self._cursor.rowcount)

    def run_many(self, statement: str, values: Sequence[Mapping[str, Any]]) -> None:
        """Runs a change once for each mapping."""
        if values:
            self._cursor.executemany(_in_django(statement), values)


@cache
def _in_django(statement: str) -> str:
    return re.sub(r":(\w+)", r"%(\1)s", statement)
