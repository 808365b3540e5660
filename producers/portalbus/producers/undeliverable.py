"""Events that the broker refused for good, and what a person can do about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from portalbus.producers.outbox import Outbox
from portalbus.producers.stored_event import id_text


@dataclass(frozen=True, slots=True)
class Undeliverable:
    """A dead event, or one held behind a dead one of the same key."""

    sequence: int
    event_id: str
    key: str
    held: bool
    reason: str
    since: datetime


def read_undeliverable(outbox: Outbox) -> list[Undeliverable]:
    """All of them, oldest first."""
    with outbox.reading() as connection:
        rows = connection.execute(
            "select u.sequence, e.event_id, u.key, u.state = 'held', u.reason, u.since"
            " from undeliverable u join event e using (sequence) order by u.sequence"
        ).fetchall()
    return [
        Undeliverable(sequence, id_text(event_id), key, bool(held), reason, datetime.fromtimestamp(since / 1000, UTC))
        for sequence, event_id, key, held, reason, since in rows
    ]


def redrive(outbox: Outbox, key: str) -> int:
    """Has the events of a key sent again, in order; returns how many."""
    with outbox.transaction() as connection:
        return connection.execute(
            "insert or ignore into resend select sequence from undeliverable where key = ?", (key,)
        ).rowcount


def discard(outbox: Outbox, sequence: int) -> bool:
    """Gives up a dead event, and lets those go on that were held behind it; False when there is none."""
    with outbox.transaction() as connection:
        gone = connection.execute(
            "delete from undeliverable where sequence = ? and state = 'dead' returning key", (sequence,)
        ).fetchall()
        for (key,) in gone:
            connection.execute(
                "insert or ignore into resend select sequence from undeliverable as held where key = ? and not exists"
                " (select 1 from undeliverable as dead where dead.key = held.key and dead.state = 'dead')",
                (key,),
            )
    return bool(gone)
