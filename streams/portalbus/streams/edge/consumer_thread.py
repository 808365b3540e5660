"""The thread in which aiokafka fetches and keeps the group membership alive, whatever the event loop does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import aiokafka
import structlog
from aiokafka.errors import KafkaError, NoOffsetForPartitionError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import TP

from portalbus.schemas.kafka_settings import aiokafka_settings
from portalbus.streams.edge.settings import EdgeSettings
from portalbus.streams.edge.unpacking import give_out_lane_records

log = structlog.get_logger(__name__)

# Only aiokafka looks at this, and leaves the group when fetching pauses so long. Here fetching pauses whenever the
# handler is busy, or the database is away; the watchdog decides how long is too long.
_NEVER_MS = 7 * 24 * 3_600 * 1_000

# aiokafka looks for a group's coordinator without an end. Where a process ends, and where a group is told how far it
# has come, that is no use: what matters is in the ledger, or is read again.
_AWAY_SECONDS = 5.0


class EndingThread(driver.AIOKafkaConsumerThread):
    """aiokafka that comes to an end, and does not hold up others, while the broker is away."""

    async def on_thread_stop(self) -> None:
        """Stop the consumer. One that does not stop well must not keep the process from ending: its session times out.

        aiokafka lets a cancelled task of its own through when the group rebalances at that moment, and then nobody
        would tell the process that this thread has ended.
        """
        try:
            async with asyncio.timeout(_AWAY_SECONDS):
                await super().on_thread_stop()
        except (asyncio.CancelledError, KafkaError, TimeoutError) as error:
            log.warning("edge.consumer-not-stopped", error=type(error).__name__)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        try:
            async with asyncio.timeout(_AWAY_SECONDS):
                return await self._commit_to_group(offsets)
        except TimeoutError:
            log.info("edge.group-commit-failed", error="TimeoutError")
            return False

    async def _commit_to_group(self, offsets: Mapping[TP, int]) -> bool:
        return bool(await super()._commit(offsets))


class LaneConsumerThread(EndingThread):
    """aiokafka with bounded fetches, our assignor, and no policy of its own about offsets."""

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        settings: EdgeSettings = transport.parts.settings
        self._assignor = self.app.assignor
        return aiokafka.AIOKafkaConsumer(
            **aiokafka_settings(settings.bootstrap_servers),
            client_id=self.app.conf.broker_client_id,
            group_id=settings.group,
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            auto_offset_reset="none",  # positions come from the ledger; a lane never starts elsewhere by itself
            max_partition_fetch_bytes=settings.fetch_max_bytes_per_lane,
            fetch_max_bytes=settings.fetch_max_bytes,
            fetch_max_wait_ms=int(settings.fetch_max_wait * 1000),
            session_timeout_ms=int(settings.session_timeout * 1000),
            heartbeat_interval_ms=int(settings.heartbeat_interval * 1000),
            rebalance_timeout_ms=int(settings.rebalance_timeout * 1000),
            request_timeout_ms=int(settings.request_timeout * 1000),
            max_poll_interval_ms=_NEVER_MS,
            metadata_max_age_ms=30_000,
            check_crcs=True,
            isolation_level="read_uncommitted",
        )

    async def on_start(self) -> None:
        """Start the consumer, which then gives out lane records."""
        await super().on_start()
        transport: Any = self.transport
        give_out_lane_records(self._ensure_consumer()._fetcher, transport.parts.settings.fetch_pause)

    def on_crash(self, msg: str, *fmt: Any, **kwargs: Any) -> None:
        """Log what ended the thread; mode would print the exception with its message."""
        errors = [type(part).__name__ for part in fmt if isinstance(part, BaseException)]
        log.critical("edge.thread-crashed", error=errors)

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super()._fetch_records(*args, **kwargs)
        except NoOffsetForPartitionError:
            return {}  # the group knows no offset for a lane; nobody asked it, the ledger's follows

    async def seek_lanes(self, offsets: Mapping[TP, int]) -> None:
        """Move to these offsets at once, dropping what was fetched from elsewhere.

        Raises IllegalStateError when a lane is not this worker's any more.
        """
        await self.call_thread(self._seek_lanes, offsets)

    async def _seek_lanes(self, offsets: Mapping[TP, int]) -> None:
        consumer = self._ensure_consumer()
        for tp, offset in offsets.items():
            consumer.seek(driver.ensure_aiokafka_TP(tp), offset)

    async def ends(self, tps: Iterable[TP], within: float) -> Mapping[TP, int]:
        """Ask the broker where lanes end; raises KafkaError when it does not say so within so many seconds."""
        ends: Mapping[TP, int] = await self.call_thread(self._ends, tuple(tps), int(within * 1000))
        return ends

    async def _ends(self, tps: tuple[TP, ...], within_ms: int) -> Mapping[Any, int]:
        fetcher = self._ensure_consumer()._fetcher
        ends: Mapping[Any, int] = await fetcher.end_offsets([driver.ensure_aiokafka_TP(tp) for tp in tps], within_ms)
        return ends

    async def _commit_to_group(self, offsets: Mapping[TP, int]) -> bool:
        told = {driver.ensure_aiokafka_TP(tp): OffsetAndMetadata(offset, "") for tp, offset in offsets.items()}
        try:
            await self._ensure_consumer().commit(told)
        except KafkaError as error:
            log.info("edge.group-commit-failed", error=type(error).__name__)  # a hint for lag displays, no more
            return False
        return True
