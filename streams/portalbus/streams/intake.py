"""From batches to the ledger: decode the next batch while the last one commits, and survive what kills a decoder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog
from portalbus.schemas.codec import WriterSchemas, read
from portalbus.schemas.errors import UndecodableRecord
from portalbus.schemas.topics import lane_of
from portalbus.streams.judgement.docket import Content, Item, Unreadable
from portalbus.streams.ledger.attempts import NO_MARK, Mark, read_marks, write_marks
from portalbus.streams.ledger.database import Session
from portalbus.streams.ledger.ledger import Ledger, Taken
from portalbus.streams.records import Batch, LaneRecord

log = structlog.get_logger(__name__)

Committed = Callable[[Mapping[str, int]], None]


class Intake:
    """Takes batches into the ledger, in the order in which they come.

    Two threads: one decodes, one talks to the ledger. While a batch commits, the next one is decoded; never more
    than that, so memory is bounded by two batches. `committed` hears the lanes' next offsets after each commit.
    """

    def __init__(self, ledger: Ledger, marks: Session, writers: WriterSchemas, committed: Committed) -> None:
        self._ledger = ledger
        self._marks_session = marks
        self._writers = writers
        self._committed = committed
        self._marks: dict[str, Mark] = {}
        self._open: dict[str, Mark] = {}
        self._decoding = ThreadPoolExecutor(1, "decode")
        self._committing = ThreadPoolExecutor(1, "ledger")
        self._in_hand: asyncio.Future[Taken] | None = None

    async def handle(self, batch: Batch) -> None:
        """Decodes a batch and starts its commit once the one before has committed."""
        loop = asyncio.get_running_loop()
        careful = await loop.run_in_executor(self._decoding, self._mark, batch.records)
        if careful:
            await self._one_by_one(batch.records)
            return
        items = await loop.run_in_executor(self._decoding, self._read_all, batch.records)
        await self.settle()
        self._in_hand = asyncio.ensure_future(self._commit(items))

    async def settle(self) -> None:
        """Waits for the commit in hand; raises what it raised."""
        if self._in_hand is not None:
            in_hand, self._in_hand = self._in_hand, None
            await in_hand

    async def expire(self) -> None:
        """Refuses what waited too long."""
        expired = await asyncio.get_running_loop().run_in_executor(self._committing, self._ledger.expire)
        if expired:
            log.info("waiting.expired", events=expired)

    async def positions(self, lanes: Iterable[str]) -> Mapping[str, int]:
        """The ledger's next offset of each lane; forgets what is remembered of earlier assignments."""
        return await asyncio.get_running_loop().run_in_executor(self._committing, self._positions, list(lanes))

    async def close(self) -> None:
        """Finishes the commit in hand and lets go of the database."""
        await self.settle()
        self._decoding.shutdown()
        self._committing.shutdown()
        self._marks_session.close()
        self._ledger.close()

    def _positions(self, lanes: Sequence[str]) -> Mapping[str, int]:
        agencies = {lane: lane.removeprefix("lane.") for lane in lanes}
        self._ledger.open_lanes(agencies.values())
        found = self._ledger.next_offsets(list(agencies.values()))
        self._marks, self._open = {}, {}
        return {lane: found[agency] for lane, agency in agencies.items()}

    async def _commit(self, items: Sequence[Item]) -> Taken:
        loop = asyncio.get_running_loop()
        taken = await loop.run_in_executor(self._committing, self._ledger.take_in, items)
        for agency, offset in taken.next_offsets.items():
            if agency in self._open and self._open[agency].last < offset:
                del self._open[agency]
        self._committed({lane_of(agency): offset for agency, offset in taken.next_offsets.items()})
        if taken.replayed:
            log.info("intake.replayed", records=taken.replayed)
        return taken

    def _mark(self, records: Sequence[LaneRecord]) -> bool:
        """Marks what is tried now; True when an earlier worker died twice in here, and care is needed."""
        if not self._marks:
            self._marks = self._marks_session.transact(read_marks) or {"": NO_MARK}
        ranges = _ranges(records)
        if any(self._marks.get(agency, NO_MARK).careful(first) for agency, (first, _) in ranges.items()):
            return True
        for agency, (first, last) in ranges.items():
            behind = self._open.get(agency)
            if behind is not None:
                mark = Mark(behind.first, last, behind.attempts)
            else:
                mark = self._marks.get(agency, NO_MARK).next(first, last)
            self._marks[agency] = self._open[agency] = mark
        marks = {agency: self._marks[agency] for agency in ranges}
        self._marks_session.transact(lambda connection: write_marks(connection, marks))
        return False

    async def _one_by_one(self, records: Sequence[LaneRecord]) -> None:
        loop = asyncio.get_running_loop()
        await self.settle()
        for record in records:
            item = await loop.run_in_executor(self._decoding, self._read_carefully, record)
            await self._commit([item])

    def _read_carefully(self, record: LaneRecord) -> Item:
        before = self._marks.get(record.agency, NO_MARK)
        if before.deadly(record.offset):
            log.error("intake.deadly-record-parked", lane=record.lane, offset=record.offset)
            return Item(record, Unreadable("record.crashed-worker", "the worker died three times on this record"))
        mark = before.next(record.offset, record.offset)
        self._marks[record.agency] = mark
        self._marks_session.transact(lambda connection: write_marks(connection, {record.agency: mark}))
        return Item(record, self._read(record))

    def _read_all(self, records: Sequence[LaneRecord]) -> list[Item]:
        return [Item(record, self._read(record)) for record in records]

    def _read(self, record: LaneRecord) -> Content:
        try:
            return read(record.value, self._writers)
        except UndecodableRecord as error:
            return Unreadable(error.rule, error.detail)
        except Exception as error:  # whatever hostile bytes lead to is parked; the lane goes on
            return Unreadable("record.undecodable", f"{type(error).__name__} while reading")


def _ranges(records: Sequence[LaneRecord]) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for record in records:
        first = found.get(record.agency, (record.offset, 0))[0]
        found[record.agency] = (first, record.offset)
    return found
