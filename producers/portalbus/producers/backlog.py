"""The outbox as its deliverer sees it: what to send next, and what became of what was sent."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from portalbus.producers.answers import Answer, answers_sent, next_answers
from portalbus.producers.database import Database
from portalbus.producers.outbox import Outbox
from portalbus.producers.settings import Bounds
from portalbus.producers.source_row import SourceRow, known_source, write_source
from portalbus.producers.stored_event import SELECT_EVENTS, StoredEvent, stored_events
from portalbus.schemas.digest import EMPTY, event_digest, joined
from portalbus.schemas.errors import OutboxDamaged

DAY = 86_400_000
PRUNE_ROWS = 1_000
RESEND_ROWS = 50_000


class Fate(Enum):
    """What became of an event."""

    DELIVERED = "delivered"
    DEAD = "dead"
    HELD = "held"


class Settled(NamedTuple):
    """An event whose fate is known; `reason` for those that were not delivered."""

    event: StoredEvent
    fate: Fate
    reason: str = ""


class Backlog:
    """Reads and settles what the outbox holds. One thread, one process at a time: the holder of the delivery lock."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self.database: Database = outbox.second_database()

    def source_row(self) -> SourceRow:
        """How far the outbox got."""
        with self.database.reading() as connection:
            return known_source(connection)

    def blocked_keys(self) -> set[str]:
        """Keys with an event that could not be delivered."""
        with self.database.reading() as connection:
            return {key for (key,) in connection.execute("select distinct key from undeliverable")}

    def after(self, sequence: int, rows: int) -> list[StoredEvent]:
        """The next events, in order and without a hole. Raises OutboxDamaged when one is missing."""
        with self.database.reading() as connection:
            found = connection.execute(
                SELECT_EVENTS + " where sequence > ? order by sequence limit ?", (sequence, rows)
            )
            events = stored_events(found)
        if events and events[-1].sequence != sequence + len(events):
            raise OutboxDamaged(f"events after {sequence} are missing in the outbox: run `portalbus outbox repair`")
        return events

    def asked_again(self, rows: int) -> list[StoredEvent]:
        """Events that are to be sent again, oldest first."""
        with self.database.reading() as connection:
            found = connection.execute(
                SELECT_EVENTS + " join resend using (sequence) order by sequence limit ?",
                (rows,),
            )
            return stored_events(found)

    def answers(self, rows: int) -> list[Answer]:
        """Answers to the centre that were not sent yet, oldest first."""
        with self.database.reading() as connection:
            return next_answers(connection, rows)

    def settle_answers(self, numbers: Sequence[int]) -> None:
        """Records that these answers have arrived."""
        with self.database.transaction() as connection:
            answers_sent(connection, numbers)

    def settle(self, settled: Sequence[Settled]) -> None:
        """Records the fates of the events that follow the delivered ones, in order."""
        with self.database.transaction() as connection:
            row = known_source(connection)
            for event, fate, reason in settled:
                if event.sequence != row.delivered_sequence + 1:
                    raise OutboxDamaged(f"event {event.sequence} settled behind {row.delivered_sequence}")
                row.delivered_sequence = event.sequence
                row.undelivered_bytes -= len(event.body)
                row.kept_bytes += len(event.body)
                if fate is not Fate.DELIVERED:
                    _refuse(connection, event, fate, reason)
            _count(connection, [event for event, fate, _ in settled if fate is Fate.DELIVERED])
            write_source(connection, row)

    def settle_again(self, settled: Sequence[Settled]) -> None:
        """Records the fates of events that were sent again."""
        with self.database.transaction() as connection:
            for event, fate, reason in settled:
                at = (event.sequence,)
                known = connection.execute("delete from undeliverable where sequence = ? returning 1", at).fetchall()
                connection.execute("delete from resend where sequence = ?", at)
                if fate is not Fate.DELIVERED:
                    _refuse(connection, event, fate, reason)
                elif known:
                    _count(connection, [event])  # its first delivery
            # Events that were held while their key was sent again follow it, unless it died again.
            connection.execute(
                "insert or ignore into resend select sequence from undeliverable as held where state = 'held'"
                " and not exists"
                " (select 1 from undeliverable as dead where dead.key = held.key and dead.state = 'dead')"
            )

    def report(self, pid: int | None, trouble: str | None) -> None:
        """Lets every process see who delivers, and what is in the way."""
        at = int(time.time() * 1000) if trouble else None
        with self.database.transaction() as connection:
            connection.execute("update delivery set pid = ?, trouble = ?, trouble_at = ?", (pid, trouble, at))

    def report_damage(self, text: str) -> None:
        """Stops publishing and delivery in every process until the outbox is repaired."""
        with self.database.transaction() as connection:
            connection.execute("update delivery set damaged = ?", (text,))

    def prune(self, bounds: Bounds, now: int) -> int:
        """Lets go of delivered events that are older or larger than what is kept; returns how many."""
        oldest = now - bounds.keep_days * DAY
        with self.database.transaction() as connection:
            row = known_source(connection)
            found = connection.execute(
                "select sequence, published_at, length(body) from event where sequence <= ? and sequence not in"
                " (select sequence from undeliverable union all select sequence from resend) order by sequence limit ?",
                (row.delivered_sequence, PRUNE_ROWS),
            ).fetchall()
            gone = []
            for sequence, published_at, size in found:
                if published_at >= oldest and row.kept_bytes <= bounds.keep_bytes:
                    break
                row.kept_bytes -= size
                gone.append((sequence,))
            connection.executemany("delete from event where sequence = ?", gone)
            if gone:
                write_source(connection, row)
            connection.execute("delete from bucket where day < ?", (oldest // DAY,))
            connection.execute("delete from verdict where judged_at < ?", (oldest,))
        return len(gone)


def resend(connection: sqlite3.Connection, first: int, last: int) -> int:
    """Marks the delivered events of a range that are still kept to be sent again, so many at most; returns how many.

    Those that could not be delivered are left to the operator.
    """
    found = connection.execute(
        "insert or ignore into resend select sequence from event where sequence between ? and ?"
        " and sequence <= (select delivered_sequence from source)"
        " and sequence not in (select sequence from undeliverable) order by sequence limit ?",
        (first, last, RESEND_ROWS),
    )
    return found.rowcount


def _refuse(connection: sqlite3.Connection, event: StoredEvent, fate: Fate, reason: str) -> None:
    connection.execute(
        "insert or replace into undeliverable values (?, ?, ?, ?, ?)",
        (event.sequence, fate.value, event.key, reason, int(time.time() * 1000)),
    )


def _count(connection: sqlite3.Connection, events: Sequence[StoredEvent]) -> None:
    """Adds delivered events to the buckets of their day and type."""
    digests: dict[tuple[int, str], bytes] = {}
    counts: Counter[tuple[int, str]] = Counter()
    for event in events:
        place = (event.published_at // DAY, event.event_type)
        counts[place] += 1
        digests[place] = joined(digests.get(place, EMPTY), event_digest(event.event_id, event.content_hash))
    for place, digest in digests.items():
        found = connection.execute("select count, digest from bucket where day = ? and event_type = ?", place)
        count, before = found.fetchone() or (0, EMPTY)
        connection.execute(
            "insert or replace into bucket values (?, ?, ?, ?)", (*place, count + counts[place], joined(before, digest))
        )
