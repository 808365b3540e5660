"""The ledger transaction: effects, verdicts, lane offsets and outgoing rows commit together, or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg import Connection, Cursor

from portalbus.schemas.codec import Decoded, WriterSchemas, read
from portalbus.schemas.directory import AgencyDirectory
from portalbus.schemas.models import VerdictStatus
from portalbus.streams.judgement.docket import Bounds, Docket, Item
from portalbus.streams.ledger.database import WORKER_OPTIONS, Session
from portalbus.streams.ledger.fetching import fetch_history, fetch_overdue
from portalbus.streams.ledger.writing import writing

CHANNEL = "ledger"
EXPIRY_BATCH = 500
ADVANCE = """
update ledger.lane set next_offset = moved.after, updated_at = now()
from unnest(%s::text[], %s::int8[], %s::int8[]) moved(agency, before, after)
where lane.agency = moved.agency and lane.next_offset = moved.before"""


class LaneJump(Exception):
    """A lane's records do not continue where the ledger stands: events are missing, or another worker took over."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What one ledger transaction did."""

    judged: int
    replayed: int
    next_offsets: Mapping[str, int]
    by_status: Mapping[VerdictStatus, int]


class Ledger:
    """One worker's hold on the ledger. Not thread-safe: one thread calls it.

    A database that is away is waited for, for ever, with growing pauses. Anything else that goes wrong is raised,
    and ends the worker.
    """

    def __init__(
        self,
        database_url: str,
        writers: WriterSchemas,
        directory: AgencyDirectory,
        *,
        bounds: Bounds | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._session = Session(database_url, application="worker", options=WORKER_OPTIONS, pause=pause)
        self._writers = writers
        self._directory = directory
        self._bounds = bounds or Bounds()
        self._clock = clock

    def open_lanes(self, agencies: Iterable[str]) -> None:
        """Makes sure every lane has its row; a new lane starts at offset 0."""
        names = sorted(agencies)

        def work(connection: Connection[Any]) -> None:
            connection.execute(
                "insert into ledger.lane (agency) select unnest(%s::text[]) on conflict do nothing", (names,)
            )

        self._session.transact(work)

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

        Records that the ledger has already are passed over. Raises LaneJump when records are missing before them.
        """
        return self._session.transact(lambda connection: self._take_in(connection, items))

    def expire(self) -> int:
        """Refuses the events whose time in the waiting room is over; returns how many."""
        return self._session.transact(self._expire)

    def close(self) -> None:
        """Closes the connection."""
        self._session.close()

    def _take_in(self, connection: Connection[Any], items: Sequence[Item]) -> Taken:
        with connection.pipeline():
            ledger = _take_the_ledger(connection)
            lanes = _take_the_lanes(connection, items)
            history = fetch_history(connection, items, self._decode)
            position, before = _position(ledger), dict(lanes.fetchall())
        new, after = _what_is_new(items, before)
        docket = Docket(history, self._directory, position, self._bounds)
        docket.hear(new)
        self._write(connection, docket, before, after)
        return Taken(len(docket.entries), len(items) - len(new), after, _count(docket))

    def _expire(self, connection: Connection[Any]) -> int:
        position = _position(_take_the_ledger(connection))
        now = self._clock()
        docket = Docket(fetch_overdue(connection, now, EXPIRY_BATCH, self._decode), self._directory, position)
        docket.expire(now)
        if docket.entries:
            self._write(connection, docket, {}, {})
        return len(docket.entries)

    def _write(
        self, connection: Connection[Any], docket: Docket, before: Mapping[str, int], after: Mapping[str, int]
    ) -> None:
        moved = [agency for agency, offset in before.items() if after[agency] != offset]
        with writing(connection, docket, self._clock()):
            advanced = connection.execute(
                ADVANCE, (moved, [before[agency] for agency in moved], [after[agency] for agency in moved])
            )
            connection.execute("update ledger.position set next = %s", (docket.next_position,))
            connection.execute("select pg_notify(%s, %s)", (CHANNEL, str(docket.next_position - 1)))
        if advanced.rowcount != len(moved):
            raise LaneJump(f"{len(moved) - advanced.rowcount} lanes were moved by another worker")

    def _decode(self, value: bytes) -> Decoded:
        found = read(value, self._writers)
        if not isinstance(found, Decoded):
            raise TypeError("an event in the waiting room no longer reads as an event")
        return found


def _take_the_ledger(connection: Connection[Any]) -> Cursor[Any]:
    """Locks the ledger's order until commit, and asks for its first free position.

    Taken before anything is read: two lanes may carry events of the same case, and the second transaction has to
    see what the first one did. A transaction lasts some milliseconds; decoding is done before it.
    """
    return connection.execute("select next from ledger.position for update")


def _position(ledger: Cursor[Any]) -> int:
    row = ledger.fetchone()
    if row is None:
        raise LookupError("ledger.position has no row: were the migrations applied?")
    return int(row[0])


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
