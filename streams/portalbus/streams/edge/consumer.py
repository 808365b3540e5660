"""The consumer: takes its positions from the ledger and puts whole fetches into the lane queue."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

import structlog
from aiokafka.errors import ConsumerStoppedError, KafkaError, OffsetOutOfRangeError
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import TP

from portalbus.streams.edge.consumer_thread import LaneConsumerThread
from portalbus.streams.edge.delivery import Delivery
from portalbus.streams.edge.failstop import FailStop
from portalbus.streams.edge.lane_queue import LaneQueue
from portalbus.streams.edge.progress import LaneProgress
from portalbus.streams.edge.settings import EdgeSettings
from portalbus.streams.edge.unpacking import lane_records
from portalbus.streams.records import LaneRecord

log = structlog.get_logger(__name__)

Positions = Callable[[Iterable[str]], Awaitable[Mapping[str, int]]]
Lanes = Callable[[], Awaitable[Collection[str]]]

_FETCH_TIMEOUT = 0.25  # bounds how long a rebalance waits for the fetch in flight
_RETRY_AFTER = 1.0
_ENDS_WITHIN = 10.0
_PATIENCE_WITH_ENDS = 5  # looks at a lane that seems to end before its position, before that is believed


class LaneConsumer(driver.Consumer):
    """Faust's consumer without what Faust does per message.

    It keeps one promise to the handler: within an epoch, the records of a lane come in offset order, without a
    hole, from the ledger's position on. Where Kafka breaks that, the positions are taken from the ledger again;
    if that does not help, events are missing, and the process stops.
    """

    queue: LaneQueue
    progress: LaneProgress
    delivery: Delivery
    positions: Positions
    lanes: Lanes
    settings: EdgeSettings
    _thread: LaneConsumerThread
    fail_stop: FailStop
    clock: Callable[[], datetime]

    def __init__(self, transport: Any, *args: Any, **kwargs: Any) -> None:
        parts = transport.parts
        self.queue, self.progress, self.delivery = parts.queue, parts.progress, parts.delivery
        self.positions, self.lanes = parts.positions, parts.lanes
        self.settings, self.fail_stop, self.clock = parts.settings, parts.fail_stop, parts.clock
        self._subscribed: frozenset[str] = frozenset()
        self._expected: dict[str, int] = {}
        self.positioned = asyncio.Event()
        self._ends_before_position = 0
        self._jumps: dict[str, tuple[int, int]] = {}
        super().__init__(transport, *args, **kwargs)

    def _new_consumer_thread(self) -> LaneConsumerThread:
        return LaneConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # ---- which lanes --------------------------------------------------------------------------------------

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Subscribe to the directory's lanes; what Faust would subscribe to (nothing) is ignored."""
        while not self.should_stop and not await self.refresh_lanes():
            await self.sleep(_RETRY_AFTER)

    async def refresh_lanes(self) -> bool:
        """Subscribe anew if the directory of lanes has changed; return whether there are lanes at all."""
        try:
            lanes = frozenset(await self.lanes())
        except Exception as error:
            log.warning("edge.lanes-unknown", error=type(error).__name__)
            return bool(self._subscribed)
        if lanes and lanes != self._subscribed:
            log.info("edge.subscribed", lanes=len(lanes), new=len(lanes - self._subscribed))
            self._subscribed = lanes
            await self._thread.subscribe(lanes)
        return bool(self._subscribed)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Drop what waits and finish what is in hand before the lanes may go to another worker."""
        self._begin_epoch()
        await self.delivery.finish(self.settings.finish_batch_within)
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Begin an epoch: nothing is delivered before the ledger has said where to read on."""
        self._begin_epoch()
        self._committed_offset.clear()
        log.info("edge.assigned", lanes=len(assigned), epoch=self.queue.epoch)
        await super().on_partitions_assigned(assigned, generation_id)

    def _begin_epoch(self) -> None:
        self.queue.begin_epoch()
        self.positioned.clear()

    # ---- where to read on ---------------------------------------------------------------------------------

    async def perform_seek(self) -> None:
        """Do nothing: Faust would seek to the group's offsets; the drain takes the ledger's before it fetches."""

    async def _take_positions(self) -> None:
        epoch = self.queue.epoch
        assigned = self.assignment()
        if split := sorted(tp.topic for tp in assigned if tp.partition != 0):
            self.fail_stop("a lane has more than one partition, so it has no order", lane=split[0])
            return
        tps = {tp.topic: tp for tp in assigned}
        if not await self.delivery.finish(self.settings.finish_batch_within):
            return
        try:
            async with asyncio.timeout(self.settings.request_timeout):
                ledger = await self.positions(tuple(tps))
            starts = await self.earliest_offsets(*tps.values())
            ends = await self.highwaters(*tps.values())
        except Exception as error:
            log.warning("edge.positions-unknown", error=type(error).__name__, lanes=len(tps))
            self.progress.alive()  # waiting for a ledger or a broker that is away is not a stall
            await self.sleep(_RETRY_AFTER)
            return
        wanted = {lane: ledger.get(lane, 0) for lane in tps}
        if epoch != self.queue.epoch or not await self._plausible(wanted, starts, ends):
            return
        try:
            await self._thread.seek_lanes({tps[lane]: offset for lane, offset in wanted.items()})
        except KafkaError:
            return  # the lanes were taken away meanwhile: the next assignment begins anew
        if epoch == self.queue.epoch:
            self._expected = wanted
            self.progress.assigned(wanted)
            self.progress.seen_ends({tp.topic: end for tp, end in ends.items()})
            self.positioned.set()
            log.info("edge.positioned", lanes=len(wanted), epoch=epoch)

    async def _plausible(self, wanted: Mapping[str, int], starts: Mapping[Any, int], ends: Mapping[Any, int]) -> bool:
        for tp, start in starts.items():
            offset, end = wanted[tp.topic], ends[tp]
            if offset < start:
                self.fail_stop(
                    "events expired before the ledger read them; an operator must say where to read on",
                    lane=tp.topic,
                    ledger_next=offset,
                    lane_start=start,
                )
                return False
            if offset > end:
                self._ends_before_position += 1
                if self._ends_before_position < _PATIENCE_WITH_ENDS:
                    await self.sleep(_RETRY_AFTER)  # a broker that has just started may not know its end yet
                    return False
                self.fail_stop(
                    "the lane ends before the ledger's position: was the topic deleted and created again?",
                    lane=tp.topic,
                    ledger_next=offset,
                    lane_end=end,
                )
                return False
        self._ends_before_position = 0
        return True

    # ---- fetching -----------------------------------------------------------------------------------------

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self.should_stop or fetcher.should_stop):
                if not self.flow_active:
                    await self.wait(self.can_resume_flow.wait())
                elif not self.positioned.is_set():
                    await self._take_positions()
                else:
                    await self._fetch_once()
        except ConsumerStoppedError:
            if not self.app.should_stop:
                raise
        except Exception as error:
            # Faust would restart the fetcher, which may or may not work: start over from the ledger instead.
            self.fail_stop("fetching raised", error=type(error).__name__)
            raise

    async def _fetch_once(self) -> None:
        epoch = self.queue.epoch
        try:
            fetched = await self._thread.getmany(None, _FETCH_TIMEOUT)
        except OffsetOutOfRangeError as error:
            self._start_over("offset out of range", lanes=[tp.topic for tp in error.args[0]])
            return
        except KafkaError as error:
            if isinstance(error, ConsumerStoppedError):
                raise
            self._start_over("fetch failed", error=type(error).__name__)
            await self.sleep(_RETRY_AFTER)
            return
        if not fetched or epoch != self.queue.epoch:
            return
        self.progress.seen_ends({tp.topic: self.highwater(tp) or 0 for tp in fetched})
        for tp, part in fetched.items():
            if not await self._queue_lane(tp.topic, lane_records(tp.topic, part), epoch):
                return

    async def _queue_lane(self, lane: str, records: list[LaneRecord], epoch: int) -> bool:
        expected = self._expected[lane]
        whole = records[0].offset == expected and records[-1].offset - expected == len(records) - 1
        good = records if whole else [r for i, r in enumerate(records) if r.offset == expected + i]
        await self.queue.offer(good)
        if epoch != self.queue.epoch:
            return False
        self._expected[lane] = expected + len(good)
        if not whole:
            await self._jumped(lane, expected + len(good), found=records[len(good)].offset)
        return whole

    async def _jumped(self, lane: str, expected: int, found: int) -> None:
        if self._jumps.get(lane) == (expected, found):
            while not (self.queue.empty() or self.should_stop):
                await self.sleep(0.05)  # let the ledger have what came before the hole
            await self.delivery.finish(self.settings.finish_batch_within)
            self.fail_stop(
                "a lane's offsets have a hole: events are missing, or something other than a portal writes there",
                lane=lane,
                expected=expected,
                found=found,
            )
        self._jumps[lane] = (expected, found)
        self._start_over("offsets jumped", lane=lane, expected=expected, found=found)

    def _start_over(self, reason: str, **where: object) -> None:
        log.warning("edge.positions-taken-anew", reason=reason, **where)
        self._begin_epoch()

    # ---- telling the group, for lag displays --------------------------------------------------------------

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Tell the group what the ledger has, and never more than that."""
        offsets = {TP(lane, 0): offset for lane, offset in self.progress.next_offsets().items()}
        if not offsets:
            return False  # as when the consumer has not started yet
        assigned = self.assignment()
        news = {
            tp: offset
            for tp, offset in offsets.items()
            if tp in assigned and offset > (self._committed_offset.get(tp) or 0)
        }
        if not news or not await self._commit(news):
            return False
        self._committed_offset.update(news)
        return True

    async def wait_empty(self) -> None:
        """Finish the batch in hand (Faust calls this before lanes go and before the worker stops)."""
        self._begin_epoch()
        if await self.delivery.finish(self.settings.finish_batch_within):
            await self.commit()

    async def refresh_ends(self) -> None:
        """Ask the broker where the lanes end, apart from fetching: a dead fetch is not an absent broker."""
        if not self.positioned.is_set():
            return
        asked_at = self.clock()
        try:
            ends = await self._thread.ends(self.assignment(), within=_ENDS_WITHIN)
        except KafkaError as error:
            log.warning("edge.ends-unknown", error=type(error).__name__)
            self.progress.alive()
            return
        self.progress.seen_ends({tp.topic: end for tp, end in ends.items()}, asked_at)

    async def verify_all_partitions_active(self) -> None:
        """Do nothing: the watchdog looks after liveness, and Faust's check knows only its own messages."""
