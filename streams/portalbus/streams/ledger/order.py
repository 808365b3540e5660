"""The ledger's order: whoever writes judgements or notices takes positions, one after the other."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

CHANNEL = "ledger"
"""Where PostgreSQL notifies those who follow the order that there is something new."""

TAKE = "select next, clock_timestamp() from ledger.position for update"


def take_position(connection: Connection[Any]) -> int:
    """The first free position, locked until the open transaction ends: position order is commit order."""
    row = connection.execute(TAKE).fetchone()
    if row is None:
        raise LookupError("ledger.position has no row: were the migrations applied?")
    return int(row[0])


def free_position(connection: Connection[Any]) -> int:
    """The first free position as it is now, without taking it."""
    row = connection.execute("select next from ledger.position").fetchone()
    return int(row[0]) if row else 1


def advance_position(connection: Connection[Any], after: int) -> None:
    """Gives the order back: `after` is the next free position."""
    connection.execute("update ledger.position set next = %s", (after,))
    connection.execute("select pg_notify(%s, %s)", (CHANNEL, str(after - 1)))


def forget_news(connection: Connection[Any]) -> None:
    """Lets go of the notifications that have come: who always has work waits for none, and would gather them all."""
    for _ in connection.notifies(timeout=0):
        pass
