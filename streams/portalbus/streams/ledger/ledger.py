"""The ledger transaction: effects, verdicts, lane offsets and outgoing rows commit together, or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg import Connection

from portalbus.schemas.codec import Decoded, WriterSchemas, read
from portalbus.schemas.directory import AgencyDirectory
from portalbus.schemas.models import VerdictStatus
from portalbus.streams.judgement.docket import Bounds, Docket, Item
from portalbus.streams.ledger.database import WORKER_OPTIONS, Session
from portalbus.streams.ledger.fetching import fetch_history, fetch_overdue
from portalbus.streams.ledger.writing import write_docket

CHANNEL = "ledger"
EXPIRY_BATCH = 500


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
        position = _take_the_ledger(connection)
        new, replayed, before, after = self._what_is_new(connection, items)
        history = fetch_history(connection, new, self._decode)
        docket = Docket(history, self._directory, position, self._bounds)
        docket.hear(new)
        self._write(connection, docket)
        _advance_lanes(connection, before, after)
        return Taken(len(docket.entries), replayed, after, _count(docket))

    def _expire(self, connection: Connection[Any]) -> int:
        position = _take_the_ledger(connection)
        now = self._clock()
        docket = Docket(fetch_overdue(connection, now, EXPIRY_BATCH, self._decode), self._directory, position)
        docket.expire(now)
        if docket.entries:
            self._write(connection, docket)
        return len(docket.entries)

    def _what_is_new(
        self, connection: Connection[Any], items: Sequence[Item]
    ) -> tuple[list[Item], int, dict[str, int], dict[str, int]]:
        """The items beyond the ledger's offsets, how many were not, and the lanes' offsets before and after."""
        agencies = sorted({item.record.agency for item in items})
        rows = connection.execute(
            "select agency, next_offset from ledger.lane where agency = any(%s) order by agency for update", (agencies,)
        )
        before = dict(rows.fetchall())
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
        return new, len(items) - len(new), before, after

    def _write(self, connection: Connection[Any], docket: Docket) -> None:
        write_docket(connection, docket, self._clock())
        connection.execute("update ledger.position set next = %s", (docket.next_position,))
        connection.execute("select pg_notify(%s, %s)", (CHANNEL, str(docket.next_position - 1)))

    def _decode(self, value: bytes) -> Decoded:
        found = read(value, self._writers)
        if not isinstance(found, Decoded):
            raise TypeError("an event in the waiting room no longer reads as an event")
        return found


def _take_the_ledger(connection: Connection[Any]) -> int:
    """Locks the ledger's order until commit, and returns its first free position.

    Taken before anything is read: two lanes may carry events of the same case, and the second transaction has to
    see what the first one did. A transaction lasts some milliseconds; decoding is done before it.
    """
    row = connection.execute("select next from ledger.position for update").fetchone()
    if row is None:
        raise LookupError("ledger.position has no row: were the migrations applied?")
    return int(row[0])


def _advance_lanes(connection: Connection[Any], before: Mapping[str, int], after: Mapping[str, int]) -> None:
    moved = [(after[agency], agency, offset) for agency, offset in before.items() if after[agency] != offset]
    if not moved:
        return
    with connection.cursor() as cursor:
        cursor.executemany(
            "update ledger.lane set next_offset = %s, updated_at = now() where agency = %s and next_offset = %s", moved
        )
        if cursor.rowcount != len(moved):
            raise LaneJump(f"{len(moved) - cursor.rowcount} lanes were moved by another worker")


def _count(docket: Docket) -> dict[VerdictStatus, int]:
    counts: dict[VerdictStatus, int] = {}
    for entry in docket.entries:
        counts[entry.decision.status] = counts.get(entry.decision.status, 0) + 1
    return counts
