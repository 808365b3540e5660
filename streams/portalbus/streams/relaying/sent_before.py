"""After a backup was put back: what was sent before for positions that the backup does not hold.

The lanes are judged again from where the backup stood, in another order than before and at other positions. So the
relay knows a message by what it says, not by its position, and sends what says the same only once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from psycopg import Connection

from portalbus.streams.ledger.order import CHANNEL, take_position

KNOWN = """
select topic, name from ledger.sent_before
join unnest(%s::text[], %s::text[]) as wanted (topic, name) using (topic, name)"""

Named = tuple[str, str]
"""Topic, and name of a message in it."""


def verdict_name(lane_offset: int, status: str, rule: str) -> str:
    """The name of a verdict in its agency's topic."""
    return f"{lane_offset} {status} {rule}"


def event_name(agency: str, event_id: str | None) -> str:
    """The name of an event in its canonical topic."""
    return f"{agency} {event_id}"


def after_a_restoration(connection: Connection[Any]) -> bool:
    """True when there is anything that was sent before."""
    row = connection.execute("select exists (select from ledger.sent_before)").fetchone()
    return bool(row and row[0])


def sent_before(connection: Connection[Any], names: Collection[Named]) -> set[Named]:
    """Those of these messages that were sent before."""
    topics, said = [topic for topic, _ in names], [name for _, name in names]
    return {(topic, name) for topic, name in connection.execute(KNOWN, (topics, said))}


def settle(connection: Connection[Any], sent: Iterable[Named], last_sent: int) -> tuple[int, int]:
    """Remembers what was sent up to position `last_sent`, and goes on behind it; in one transaction of the caller.

    Returns the first free position of the backup and the one from now on. Doing it again changes nothing.
    """
    first = take_position(connection)
    after = max(first, last_sent + 1)
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into ledger.sent_before (topic, name) values (%s, %s) on conflict do nothing", list(sent)
        )
    connection.execute("update ledger.position set next = %s", (after,))
    if after > first:
        connection.execute("insert into ledger.restoration (first, after) values (%s, %s)", (first, after))
    connection.execute("select pg_notify(%s, %s)", (CHANNEL, str(after - 1)))
    return first, after
