"""The ledger's order: whoever writes judgements or notices takes positions, one after the other."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from psycopg import Connection

CHANNEL = "ledger"
"""Where PostgreSQL notifies those who follow the order that there is something new."""

TAKE = "select next, clock_timestamp() from ledger.position for update"


class Turn(NamedTuple):
    """The first free position of the order, and the database's time when it was taken."""

    position: int
    at: datetime


def take_turn(connection: Connection[Any]) -> Turn:
    """The first free position, locked until the open transaction ends: position order is commit order.

    What is judged or decided in this turn is timed by it, never by the clock of the machine that asks.
    """
    row = connection.execute(TAKE).fetchone()
    if row is None:
        raise LookupError("ledger.position has no row: were the migrations applied?")
    return Turn(int(row[0]), row[1])


def take_position(connection: Connection[Any]) -> int:
    """The first free position alone, for whoever has a time already; locked like a turn."""
    return take_turn(connection).position


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
