"""The shadow: the ledger's tables once more, in a schema of their own, filled by the ledger's own statements.

Every statement names the schema `ledger`. A cursor that puts the shadow's name in its place lets the very same code
write there; there is no second set of statements that could differ from the first.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from psycopg import Connection, Cursor

from portalbus.streams.ledger.database import BY_KEY, connect, migrations
from portalbus.streams.ledger.locks import AdvisoryLock

SHADOW = "ledger_shadow"
BEFORE = "ledger_before"
"""Where the exchanged tables go, for the moment until they are dropped."""

IN_LEDGER = re.compile(r"\b(?<!\.)ledger(?=\.)|(?<=\bschema )ledger\b")


class RebuildRunning(Exception):
    """Another rebuild of this ledger is going on."""


@lru_cache(maxsize=512)
def in_shadow(statement: str) -> str:
    """A statement about the ledger, as one about its shadow."""
    return IN_LEDGER.sub(SHADOW, statement)


class ShadowCursor(Cursor[Any]):
    """A cursor for which the ledger is its shadow."""

    def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        """Like Cursor.execute."""
        return super().execute(_in_shadow(query), *args, **kwargs)

    def executemany(self, query: Any, *args: Any, **kwargs: Any) -> None:
        """Like Cursor.executemany."""
        super().executemany(_in_shadow(query), *args, **kwargs)

    def copy(self, statement: Any, *args: Any, **kwargs: Any) -> Any:
        """Like Cursor.copy."""
        return super().copy(_in_shadow(statement), *args, **kwargs)


def _in_shadow(query: Any) -> Any:
    if not isinstance(query, str):
        raise TypeError("the shadow takes statements as text")
    return in_shadow(query)


def connect_to_shadow(database_url: str) -> Connection[Any]:
    """A connection for which the ledger is its shadow; what it writes is not waited for at the disk."""
    connection: Connection[Any] = connect(
        database_url, application="rebuild", options=f"-c synchronous_commit=off -c lock_timeout=10s {BY_KEY}"
    )
    connection.cursor_factory = ShadowCursor
    return connection


def make_shadow(live: Connection[Any]) -> None:
    """Makes the shadow's empty tables; what a rebuild that was cut off has left is dropped. Raises RebuildRunning.

    `live` is in autocommit mode, and keeps other rebuilds out for as long as it is open.
    """
    row = live.execute("select pg_try_advisory_lock(%s)", (AdvisoryLock.REBUILD.value,)).fetchone()
    if not row or not row[0]:
        raise RebuildRunning("another rebuild of this ledger is going on: wait for it to end")
    drop_shadow(live)
    for _, migration in migrations():
        live.execute(in_shadow(migration.decode()))


def drop_shadow(live: Connection[Any]) -> None:
    """Drops the shadow, and what an exchange has left."""
    live.execute("set client_min_messages = warning")
    for schema in (SHADOW, BEFORE):
        live.execute(f"drop schema if exists {schema} cascade")
