"""Locks on tables: who changes them gives way soon, and whoever did not get one has only to try again."""

from __future__ import annotations

from typing import Any

from psycopg import Connection
from psycopg.errors import DeadlockDetected, LockNotAvailable

TABLES_HELD = (LockNotAvailable, DeadlockDetected)
"""What PostgreSQL says when somebody else has a table; nothing of the statement's transaction is left then."""


def give_way_soon(connection: Connection[Any]) -> None:
    """In the open transaction, waits for a lock for half a second at most.

    That is less than a server's deadlock_timeout, 1 s unless somebody changed it: who has a table that is wanted here,
    and waits for one that is held here, is let through before the server looks for whom of the two to end.
    """
    connection.execute("set local lock_timeout = '500ms'")
