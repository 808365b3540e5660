"""From batches to the ledger: the next batch is decoded while the last one commits."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Protocol

import structlog

from portalbus.schemas.topics import agency_of, lane_of
from portalbus.streams.decoding.contents import DEADLY, Reads
from portalbus.streams.judgement.docket import Item, Unreadable
from portalbus.streams.ledger.database import CalledOff
from portalbus.streams.ledger.ledger import Ledger, Taken
from portalbus.streams.records import Batch, LaneRecord

log = structlog.get_logger(__name__)

Committed = Callable[[Mapping[str, int]], None]
Failed = Callable[[Exception], None]
Measured = Callable[[Taken, float], None]
Traced = Callable[[Sequence[Item], int], None]


def _unmeasured(taken: Taken, seconds: float) -> None:
    """Nobody asks."""


LARGE = 1_000
"""Records of a batch that is worth a place in the queue for the ledger."""


MADE_ANEW = (
    "the topic was deleted and made again; nothing is read from it until somebody says where to read on:"
    " see 'A lane that was made anew' in the operations how-to"
)


class Decodes(Reads, Protocol):
    """What reads values until it is closed."""

    def close(self) -> None:
        """Ends it."""


class Intake:
    """Takes batches into the ledger, in the order in which they come.

    Two threads: one waits for the decoder's process, one talks to the ledger. While a batch commits, the next one is
    decoded; a large one may then wait for its commit while a third is decoded, so that no side waits for the other.
    Memory is bounded by three batches. Small ones do not queue: what comes meanwhile makes the next one larger.
    `committed` hears the lanes' next offsets after each commit, `failed` why there will not be another one: the worker
    has to end, and no next batch may come to say so. `measured` hears what each commit did and how long it took, once
    a batch; `traced` what was in it and when its commit began (nanoseconds since 1970), when spans are asked for.
    """

    def __init__(
        self,
        ledger: Ledger,
        decoder: Decodes,
        committed: Committed,
        failed: Failed,
        measured: Measured = _unmeasured,
        traced: Traced | None = None,
    ) -> None:
        self._ledger = ledger
        self._decoder = decoder
        self._committed = committed
        self._failed = failed
        self._measured = measured
        self._traced = traced
        self._decoding = ThreadPoolExecutor(1, "decode")
        self._committing = ThreadPoolExecutor(1, "ledger")
        self._in_hand: deque[asyncio.Future[None]] = deque()
        self._broken = False
        self._others: frozenset[str] = frozenset()

    async def handle(self, batch: Batch) -> None:
        """Decodes a batch and starts its commit once the one before has committed, or is about to."""
        items = await asyncio.get_running_loop().run_in_executor(self._decoding, self._read_all, batch.records)
        await self._settle_to(1 if len(items) >= LARGE else 0)
        self._in_hand.append(asyncio.ensure_future(self._commit(items)))

    async def settle(self) -> None:
        """Waits for the commits in hand; raises what one of them raised."""
        await self._settle_to(0)

    async def _settle_to(self, most: int) -> None:
        """Waits until so many commits are in hand. Who is not patient enough to wait does not end a commit by that."""
        while len(self._in_hand) > most:
            first = self._in_hand[0]
            try:
                await asyncio.shield(first)
            finally:
                if first.done() and self._in_hand and self._in_hand[0] is first:  # unless another who waits was quicker
                    self._in_hand.popleft()

    async def expire(self) -> None:
        """Refuses what waited too long, in portions; batches are committed in between."""
        expired, loop = 0, asyncio.get_running_loop()
        while portion := await loop.run_in_executor(self._committing, self._ledger.expire):
            expired += portion
        if expired:
            log.info("waiting.expired", events=expired)

    async def tend_gaps(self, heard_until: Mapping[str, datetime]) -> None:
        """Ends holds behind gaps whose time is over, and asks again; `heard_until` by lane."""
        agencies = {agency_of(lane): heard for lane, heard in heard_until.items()}
        freed = await asyncio.get_running_loop().run_in_executor(self._committing, self._ledger.tend_gaps, agencies)
        if freed:
            log.info("gaps.hold-ended", events=freed)

    async def positions(self, lanes: Iterable[str]) -> Mapping[str, int]:
        """The ledger's next offset of each lane."""
        return await asyncio.get_running_loop().run_in_executor(self._committing, self._positions, list(lanes))

    async def recognised(self, topic_ids: Mapping[str, str]) -> list[str]:
        """Those of these lanes, given with Kafka's ids of their topics, that are the topics read so far, or new."""
        by_agency = {agency_of(lane): topic_id for lane, topic_id in topic_ids.items()}
        loop = asyncio.get_running_loop()
        others = await loop.run_in_executor(self._committing, self._ledger.other_topics, by_agency)
        for agency in others.keys() - self._others:
            log.error("lane.made-anew", lane=lane_of(agency), ledger_next=others[agency], mend=MADE_ANEW)
        self._others = frozenset(others)
        return [lane for lane in topic_ids if agency_of(lane) not in others]

    async def close(self) -> None:
        """Finishes the commit in hand and lets go of the database."""
        await self.settle()
        self._decoding.shutdown()
        self._committing.shutdown()
        self._decoder.close()
        self._ledger.close()

    def _positions(self, lanes: Sequence[str]) -> Mapping[str, int]:
        agencies = {lane: agency_of(lane) for lane in lanes}
        self._ledger.tell_review()
        self._ledger.open_lanes(agencies.values())
        found = self._ledger.next_offsets(list(agencies.values()))
        return {lane: found[agency] for lane, agency in agencies.items()}

    def _take_in(self, items: Sequence[Item]) -> Taken | None:
        """Commits a batch; nothing behind one that could not be."""
        if self._broken:
            return None
        try:
            began, began_ns = time.perf_counter(), time.time_ns()
            taken = self._ledger.take_in(items)
            self._measured(taken, time.perf_counter() - began)
            if self._traced is not None:
                self._traced(items, began_ns)
            return taken
        except BaseException:
            self._broken = True
            raise

    async def _commit(self, items: Sequence[Item]) -> None:
        try:
            taken = await asyncio.get_running_loop().run_in_executor(self._committing, self._take_in, items)
        except CalledOff:
            log.info("intake.left-to-the-next-worker", records=len(items))
            return
        except Exception as error:
            self._failed(error)
            raise
        if taken is None:
            return
        self._committed({lane_of(agency): offset for agency, offset in taken.next_offsets.items()})
        if taken.replayed:
            log.info("intake.replayed", records=taken.replayed)

    def _read_all(self, records: Sequence[LaneRecord]) -> list[Item]:
        contents = self._decoder.read([record.value for record in records])
        for record, content in zip(records, contents, strict=True):
            if isinstance(content, Unreadable) and content.rule == DEADLY:
                log.error("intake.deadly-record-parked", lane=record.lane, offset=record.offset)
        return list(map(Item, records, contents))
