"""The seam to a portal's database: SQL in one open transaction, whoever the driver is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

POSTGRESQL, MYSQL, SQLITE = "postgresql", "mysql", "sqlite"


class Statements(Protocol):
    """Runs statements in one transaction; parameters are written `:name`."""

    def rows(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        """What a query gives."""

    def run(self, statement: str, **values: Any) -> int:
        """Runs a change; returns how many rows it touched."""

    def run_many(self, statement: str, values: Sequence[Mapping[str, Any]]) -> None:
        """Runs a change once for each mapping; for none of them when there are none."""


class Transactions(Protocol):
    """A portal's database; `dialect` is one of the three above, MariaDB counting as MySQL."""

    dialect: str

    def transaction(self) -> AbstractContextManager[Statements]:
        """One transaction of its own: committed at the end, rolled back by an exception."""


def known_dialect(name: str) -> str:
    """The dialect of a driver's name. Raises ValueError for a database that the outbox was never tried with."""
    dialect = {"mariadb": MYSQL}.get(name, name)
    if dialect not in (POSTGRESQL, MYSQL, SQLITE):
        raise ValueError(f"the outbox is for PostgreSQL, MySQL, MariaDB and SQLite, not for {name}")
    return dialect
