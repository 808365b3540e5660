"""The ledger transaction: effects, verdicts, lane offsets and outgoing rows commit together, or not at all."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any

from psycopg import Connection, Cursor

from portalbus.schemas.codec import WriterSchemas
from portalbus.schemas.directory import AgencyDirectory
from portalbus.schemas.models import VerdictStatus
from portalbus.streams.judgement.bounds import Bounds
from portalbus.streams.judgement.docket import Docket, Item
from portalbus.streams.ledger.clock import LedgerClock, read_time
from portalbus.streams.ledger.database import WORKER_OPTIONS, Session
from portalbus.streams.ledger.fetching import TooMuchAtOnce, fetch_held, fetch_history, fetch_overdue, waiting_events
from portalbus.streams.ledger.gap_tending import ask_again, overdue_holds
from portalbus.streams.ledger.hearing import HeardLanes, heard_lanes
from portalbus.streams.ledger.lane_topics import open_lanes, other_topics
from portalbus.streams.ledger.order import TAKE, advance_position
from portalbus.streams.ledger.parking_limit import ParkingLimit, ParkingStopped
from portalbus.streams.ledger.parking_stop import end_stop, hold_to_limit, note_stop
from portalbus.streams.ledger.steps import Told, expiry_told, holds_told, records_told, write_step
from portalbus.streams.ledger.writing import JudgedAt, writing

EXPIRY_BATCH = 500
NO_LANES: Mapping[str, int] = MappingProxyType({})
ADVANCE = """
update ledger.lane set next_offset = moved.after, heartbeats = heartbeats + moved.heard, updated_at = now()
from unnest(%s::text[], %s::int8[], %s::int8[], %s::int8[]) moved(agency, before, after, heard)
where lane.agency = moved.agency and lane.next_offset = moved.before"""


class LaneJump(Exception):
    """A lane's records do not continue where the ledger stands: events are missing, or another worker took over."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What one ledger transaction did, or some that followed each other."""

    judged: int
    replayed: int
    next_offsets: Mapping[str, int]
    by_status: Mapping[VerdictStatus, int]

    def then(self, later: Taken) -> Taken:
        """Both together."""
        return Taken(
            self.judged + later.judged,
            self.replayed + later.replayed,
            {**self.next_offsets, **later.next_offsets},
            Counter(self.by_status) + Counter(later.by_status),
        )


class Ledger:
    """One worker's hold on the ledger. Not thread-safe: one thread calls it, but `time` answers every thread.

    What has to be timed is timed by the database's clock, unless a `clock` is given. A database that is away is waited
    for, for ever, with growing pauses. `learn` adds to the writers when they cannot read what lies in the waiting room.
    Anything else that goes wrong is raised, and ends the worker.
    """

    def __init__(
        self,
        database_url: str,
        writers: WriterSchemas,
        directory: AgencyDirectory,
        *,
        bounds: Bounds | None = None,
        parking_limit: ParkingLimit | None = None,
        clock: Callable[[], datetime] | None = None,
        pause: Callable[[float], None] = time.sleep,
        learn: Callable[[], None] = lambda: None,
    ) -> None:
        self._session = Session(database_url, application="worker", options=WORKER_OPTIONS, pause=pause)
        self._decode = waiting_events(writers, learn)
        self._directory = directory
        self._bounds = bounds or Bounds()
        self._parking_limit = parking_limit or ParkingLimit()
        self.time = LedgerClock()
        self._clock = clock or self.time.now

    def open_lanes(self, agencies: Iterable[str]) -> None:
        """Makes sure every lane has its row; a new lane starts at offset 0."""
        names = list(agencies)  # a database that is away is asked again

        def work(connection: Connection[Any]) -> None:
            self._look_at_clock(connection)
            open_lanes(connection, names)

        self._session.transact(work)

    def other_topics(self, topic_ids: Mapping[str, str]) -> dict[str, int]:
        """The agencies whose lane is another topic than the one read so far, with their next offsets."""
        return self._session.transact(lambda connection: other_topics(connection, topic_ids))

    def tell_review(self) -> None:
        """Tells the ledger's readers for how long an answer may be returned, and so when it is shown."""
        review = self._bounds.review
        self._session.transact(
            lambda connection: connection.execute(
                "insert into ledger.review (lasts) values (%s)"
                " on conflict (one) do update set lasts = excluded.lasts where review.lasts <> excluded.lasts",
                (review,),
            )
        )

    def next_offsets(self, agencies: Sequence[str]) -> dict[str, int]:
        """The next offset of each lane, by agency."""

        def work(connection: Connection[Any]) -> dict[str, int]:
            rows = connection.execute(
                "select agency, next_offset from ledger.lane where agency = any(%s)", (list(agencies),)
            )
            return dict(rows.fetchall())

        return self._session.transact(work)

    def take_in(self, items: Sequence[Item]) -> Taken:
        """Judges these records and commits everything that follows from it.

        Records that the ledger has already are passed over. In one transaction, or in several where they free so much
        that was held that it would not fit into the memory at once. Raises LaneJump when records are missing before
        them, and ParkingStopped, with nothing of that transaction taken in, when too many of them could not be read.
        """
        try:
            return self._session.transact(lambda connection: self._take_in(connection, items))
        except TooMuchAtOnce:
            half = len(items) // 2
            return self.take_in(items[:half]).then(self.take_in(items[half:]))
        except ParkingStopped as stopped:
            behind = {item.record.agency: item.record.offset + 1 for item in items}
            found, limit, now = stopped.excess, self._parking_limit, self._clock()
            self._session.transact(lambda connection: note_stop(connection, found, limit, behind, now))
            raise

    def expire(self) -> int:
        """Refuses the events whose time in the waiting room is over; returns how many."""
        expired = self._session.transact(self._expire)
        self._session.transact(lambda connection: end_stop(connection, self._clock()))
        return expired

    def tend_gaps(self, heard_until: Mapping[str, datetime]) -> int:
        """Ends the holds whose time is over, and asks again for what is missing; returns how many events went on.

        `heard_until` says by agency when its lane had been taken in to its end, by the clock of the ledger.
        """
        self._session.transact(self._look_at_clock)
        overdue = self._session.transact(lambda connection: overdue_holds(connection, heard_until))
        freed = sum(
            self._session.transact(partial(self._end_holds, overdue={agency: heard}))
            for agency, heard in overdue.items()
        )
        self._session.transact(lambda connection: ask_again(connection, self._clock()))
        return freed

    def close(self) -> None:
        """Closes the connection."""
        self._session.close()

    def _take_in(self, connection: Connection[Any], items: Sequence[Item]) -> Taken:
        with connection.pipeline():
            ledger = _take_the_ledger(connection)
            lanes = _take_the_lanes(connection, items)
            history = fetch_history(
                connection, items, self._decode, room=self._bounds.room, most=self._bounds.bytes_at_once
            )
            position, before = self._position(ledger), dict(lanes.fetchall())
        new, after = _what_is_new(items, before)
        docket = Docket(history, self._directory, position, self._bounds)
        docket.hear(new)
        now = self._clock()
        hold_to_limit(connection, docket, self._parking_limit, now)
        self._write(connection, docket, records_told(new), now, before, after)
        docket.put_away()
        return Taken(len(docket.entries), len(items) - len(new), after, _count(docket))

    def _expire(self, connection: Connection[Any], told: HeardLanes | None = None) -> int:
        position = self._position(_take_the_ledger(connection))
        now = self._clock()
        heard = told or heard_lanes(connection, now)
        history = fetch_overdue(connection, heard, EXPIRY_BATCH, self._bounds.bytes_at_once, self._decode)
        docket = Docket(history, self._directory, position, self._bounds)
        docket.expire(heard.up_to)
        if docket.entries:
            awaited = {seat.awaits for room in (*history.waiting.values(), history.released) for seat in room}
            self._write(connection, docket, expiry_told({agency: heard.up_to(agency) for agency in awaited}), now)
        return len(docket.entries)

    def _end_holds(self, connection: Connection[Any], overdue: Mapping[str, datetime]) -> int:
        position = self._position(_take_the_ledger(connection))
        docket = Docket(fetch_held(connection, overdue, self._decode), self._directory, position, self._bounds)
        for agency, now in overdue.items():
            docket.pass_time(agency, now)
        self._write(connection, docket, holds_told(overdue), self._clock())
        return len(docket.entries)

    def _write(
        self,
        connection: Connection[Any],
        docket: Docket,
        told: Told,
        now: datetime,
        before: Mapping[str, int] = NO_LANES,
        after: Mapping[str, int] = NO_LANES,
        *,
        judged_at: JudgedAt | None = None,
    ) -> None:
        moved = [agency for agency, offset in before.items() if after[agency] != offset]
        with writing(connection, docket, judged_at or now):
            advanced = connection.execute(
                ADVANCE,
                (
                    moved,
                    [before[agency] for agency in moved],
                    [after[agency] for agency in moved],
                    [docket.heartbeats[agency] for agency in moved],
                ),
            )
            write_step(connection, told, docket.first_position, docket.next_position, now, self._bounds)
            advance_position(connection, docket.next_position)
        if advanced.rowcount != len(moved):
            raise LaneJump(f"{len(moved) - advanced.rowcount} lanes were moved by another worker")

    def _position(self, ledger: Cursor[Any]) -> int:
        row = ledger.fetchone()
        if row is None:
            raise LookupError("ledger.position has no row: were the migrations applied?")
        position, now = row
        self.time.seen(now)
        return int(position)

    def _look_at_clock(self, connection: Connection[Any]) -> None:
        self.time.seen(read_time(connection))


def _take_the_ledger(connection: Connection[Any]) -> Cursor[Any]:
    """Locks the ledger's order until commit, and asks for its first free position.

    Taken before anything is read: two lanes may carry events of the same case, and the second transaction has to
    see what the first one did. A transaction lasts some milliseconds; decoding is done before it.
    """
    return connection.execute(TAKE)


def _take_the_lanes(connection: Connection[Any], items: Iterable[Item]) -> Cursor[Any]:
    """Locks the items' lanes, and asks for their next offsets."""
    agencies = sorted({item.record.agency for item in items})
    return connection.execute(
        "select agency, next_offset from ledger.lane where agency = any(%s) order by agency for update", (agencies,)
    )


def _what_is_new(items: Iterable[Item], before: Mapping[str, int]) -> tuple[list[Item], dict[str, int]]:
    """The items beyond the ledger's offsets, and the lanes' offsets after them."""
    after = dict(before)
    new: list[Item] = []
    for item in items:
        agency, offset = item.record.agency, item.record.offset
        expected = after.get(agency)
        if expected is None or offset > expected:
            raise LaneJump(f"lane.{agency}: record {offset} came, the ledger expects {expected}")
        if offset == expected:
            after[agency] = offset + 1
            new.append(item)
    return new, after


def _count(docket: Docket) -> dict[VerdictStatus, int]:
    counts: dict[VerdictStatus, int] = {}
    for entry in docket.entries:
        counts[entry.decision.status] = counts.get(entry.decision.status, 0) + 1
    return counts
