"""From batches to the ledger: decode the next batch while the last one commits, and survive what kills a decoder."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import groupby
from operator import attrgetter

import structlog

from portalbus.schemas.codec import WriterSchemas, read
from portalbus.schemas.errors import UndecodableRecord
from portalbus.schemas.topics import agency_of, lane_of
from portalbus.streams.judgement.docket import Content, Item, Unreadable
from portalbus.streams.ledger.attempts import NO_MARK, WHOLE, Mark, read_marks, write_marks
from portalbus.streams.ledger.database import Session
from portalbus.streams.ledger.ledger import Ledger, Taken
from portalbus.streams.records import Batch, LaneRecord

log = structlog.get_logger(__name__)

Committed = Callable[[Mapping[str, int]], None]
Failed = Callable[[Exception], None]

LARGE = 1_000
"""Records of a batch that is worth a place in the queue for the ledger."""

DEADLY_RECORD = Unreadable("record.crashed-worker", "the worker died three times on this record")


class Intake:
    """Takes batches into the ledger, in the order in which they come.

    Two threads: one decodes, one talks to the ledger. While a batch commits, the next one is decoded; a large one may
    then wait for its commit while a third is decoded, so that decoding fills the time in which PostgreSQL works.
    Memory is bounded by three batches. Small ones do not queue: what comes meanwhile makes the next one larger.
    `committed` hears the lanes' next offsets after each commit, `failed` why there will not be another one: the worker
    has to end, and no next batch may come to say so.
    """

    def __init__(
        self, ledger: Ledger, marks: Session, writers: WriterSchemas, committed: Committed, failed: Failed
    ) -> None:
        self._ledger = ledger
        self._marks_session = marks
        self._writers = writers
        self._committed = committed
        self._failed = failed
        self._marks: dict[str, Mark] | None = None
        self._decoding = ThreadPoolExecutor(1, "decode")
        self._committing = ThreadPoolExecutor(1, "ledger")
        self._in_hand: deque[asyncio.Future[None]] = deque()
        self._broken = False

    async def handle(self, batch: Batch) -> None:
        """Decodes a batch and starts its commit once the one before has committed, or is about to."""
        items = await asyncio.get_running_loop().run_in_executor(self._decoding, self._read_all, batch.records)
        await self._settle_to(1 if len(items) >= LARGE else 0)
        self._in_hand.append(asyncio.ensure_future(self._commit(items)))

    async def settle(self) -> None:
        """Waits for the commits in hand; raises what one of them raised."""
        await self._settle_to(0)

    async def _settle_to(self, most: int) -> None:
        while len(self._in_hand) > most:
            await self._in_hand.popleft()

    async def expire(self) -> None:
        """Refuses what waited too long."""
        expired = await asyncio.get_running_loop().run_in_executor(self._committing, self._ledger.expire)
        if expired:
            log.info("waiting.expired", events=expired)

    async def tend_gaps(self, heard_until: Mapping[str, datetime]) -> None:
        """Ends holds behind gaps whose time is over, and asks again; `heard_until` by lane."""
        agencies = {agency_of(lane): heard for lane, heard in heard_until.items()}
        freed = await asyncio.get_running_loop().run_in_executor(self._committing, self._ledger.tend_gaps, agencies)
        if freed:
            log.info("gaps.hold-ended", events=freed)

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
        self._marks = None
        return {lane: found[agency] for lane, agency in agencies.items()}

    def _take_in(self, items: Sequence[Item]) -> Taken | None:
        """Commits a batch; nothing behind one that could not be."""
        if self._broken:
            return None
        try:
            return self._ledger.take_in(items)
        except BaseException:
            self._broken = True
            raise

    async def _commit(self, items: Sequence[Item]) -> None:
        try:
            taken = await asyncio.get_running_loop().run_in_executor(self._committing, self._take_in, items)
        except Exception as error:
            self._failed(error)
            raise
        if taken is None:
            return
        self._committed({lane_of(agency): offset for agency, offset in taken.next_offsets.items()})
        if taken.replayed:
            log.info("intake.replayed", records=taken.replayed)

    def _read_all(self, records: Sequence[LaneRecord]) -> list[Item]:
        """Marks what is tried now, then decodes it: record by record where an earlier worker died."""
        if self._marks is None:
            self._marks = self._marks_session.transact(read_marks)
        marks = self._marks
        ranges = _ranges(records)
        careful = {agency: marks[agency] for agency, (first, _) in ranges.items() if _died(marks, agency, first)}
        self._mark(marks, {agency: Mark(*ends, WHOLE) for agency, ends in ranges.items() if agency not in careful})
        if not careful:
            return [Item(record, self._read(record)) for record in records]
        log.warning("intake.careful", lanes=sorted(careful), records=len(records))
        items: list[Item] = []
        for agency, part in groupby(records, key=attrgetter("agency")):
            if agency in careful:
                items += self._read_carefully(list(part), marks)
            else:
                items += [Item(record, self._read(record)) for record in part]
        return items

    def _read_carefully(self, records: Sequence[LaneRecord], marks: dict[str, Mark]) -> list[Item]:
        """Decodes one lane's records, each under a mark of its own; parks the one that has killed three workers."""
        agency = records[0].agency
        before = marks[agency]
        items: list[Item] = []
        for record in records:
            if before.deadly(record.offset):
                log.error("intake.deadly-record-parked", lane=record.lane, offset=record.offset)
                items.append(Item(record, DEADLY_RECORD))
                continue
            self._mark(marks, {agency: before.in_hand(record.offset)})
            items.append(Item(record, self._read(record)))
        self._mark(marks, {agency: before.passed(records[0].offset, records[-1].offset)})
        return items

    def _mark(self, marks: dict[str, Mark], new: Mapping[str, Mark]) -> None:
        if new:
            marks.update(new)
            self._marks_session.transact(lambda connection: write_marks(connection, new))

    def _read(self, record: LaneRecord) -> Content:
        return content_of(record, self._writers)


def content_of(record: LaneRecord, writers: WriterSchemas) -> Content:
    """What a record says; never raises."""
    try:
        return read(record.value, writers)
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


def _died(marks: Mapping[str, Mark], agency: str, offset: int) -> bool:
    return marks.get(agency, NO_MARK).careful(offset)
