"""Handing batches to the handler: one at a time, never a stale one, never an exception back to Faust."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from portalbus.streams.edge.failstop import FailStop
from portalbus.streams.edge.lane_queue import LaneQueue
from portalbus.streams.edge.logs import shown
from portalbus.streams.edge.progress import LaneProgress
from portalbus.streams.records import Batch

log = structlog.get_logger(__name__)

Handle = Callable[[Batch], Awaitable[None]]
Settle = Callable[[], Awaitable[None]]


class Delivery:
    """Gives batches to ``handle`` and knows whether one is in hand.

    Without ``settle``, everything in a batch is in the ledger when ``handle`` returns. A handler that commits in
    the background passes ``settle``, which waits for what it has accepted, and reports its commits to the
    progress itself.
    """

    def __init__(
        self,
        queue: LaneQueue,
        progress: LaneProgress,
        handle: Handle,
        *,
        settle: Settle | None = None,
        fail_stop: FailStop,
    ) -> None:
        self._queue = queue
        self._progress = progress
        self._handle = handle
        self._settle = settle
        self._fail_stop = fail_stop
        self._idle = asyncio.Event()
        self._idle.set()

    async def deliver(self, batch: Batch) -> None:
        """Hand over one batch; an exception of the handler ends the process, for Faust would acknowledge it."""
        if batch.epoch != self._queue.epoch:
            log.info("edge.stale-batch-dropped", records=len(batch.records), epoch=batch.epoch)
            return
        self._idle.clear()
        try:
            await self._handle(batch)
            if self._settle is None:
                self._progress.committed(batch.next_offsets())
        except Exception as error:
            self._stop("the handler of a batch raised", error, batch)
        finally:
            self._idle.set()

    async def finish(self, within: float) -> bool:
        """Wait until nothing is in hand; return False if that takes longer than ``within`` seconds."""
        try:
            async with asyncio.timeout(within):
                await self._idle.wait()
                if self._settle is not None:
                    await self._settle()
        except TimeoutError:
            log.warning("edge.batch-in-hand-not-finished", within_seconds=within)
            return False
        except Exception as error:
            self._stop("settling the batches in hand raised", error, None)
            return False
        return True

    def _stop(self, reason: str, error: Exception, batch: Batch | None) -> None:
        lanes = batch.next_offsets() if batch else {}
        self._fail_stop(
            reason,
            **shown(error),
            lanes=len(lanes),
            records=len(batch.records) if batch else 0,
            ends=dict(list(lanes.items())[:20]),
        )
