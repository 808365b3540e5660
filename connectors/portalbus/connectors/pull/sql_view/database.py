"""What the reader of views needs of a database; one class per product gives it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from portalbus.connectors.pull.kind import ReadFailed
from portalbus.connectors.pull.sql_view.settings import POSTGRESQL, SqlViewConfig

FETCH_ROWS = 500
"""So many rows are held in memory at once."""


class ViewDatabase(Protocol):
    """A session that can only read, in one transaction that sees one state of the database. Raises ReadFailed."""

    def writable(self) -> list[str]:
        """What this user may write to, a few of them, as the product says it; empty for one who can only read."""
        ...

    def columns(self) -> list[str]:
        """The view's columns, in order."""
        ...

    def rows(
        self, columns: Sequence[str], keys: Sequence[str] = (), wanted: Sequence[Sequence[Any]] = ()
    ) -> Iterator[Sequence[Any]]:
        """The values of these columns, row by row, never more than `FETCH_ROWS` at once.

        Only the rows whose `keys` are among `wanted`, when any are given.
        """
        ...

    def close(self) -> None:
        """Ends the session, whatever it is doing."""
        ...


def open_database(config: SqlViewConfig, password: str) -> ViewDatabase:
    """A session with the product that the address names. Raises ReadFailed."""
    try:
        if config.parts.scheme in POSTGRESQL:
            from portalbus.connectors.pull.sql_view.postgresql import PostgreSqlView

            return PostgreSqlView(config, password)
        from portalbus.connectors.pull.sql_view.mysql import MySqlView

        return MySqlView(config, password)
    except ModuleNotFoundError as error:
        raise ReadFailed(
            config.place, f"{error.name} is not installed", "pip install 'portalbus[connectors]'"
        ) from None


def too_slow(config: SqlViewConfig) -> ReadFailed:
    """A statement took longer than it may."""
    mend = "Give the view an index or fewer rows, or raise timeout"
    return ReadFailed(config.place, f"the database did not answer within {config.timeout:g} s", mend)
