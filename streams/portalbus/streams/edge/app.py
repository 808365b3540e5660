"""The Faust app of a worker: one agent, a few timers, and nothing else that Faust offers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import faust
import structlog
from faust.app.base import BootStrategy
from faust.tables.manager import TableManager

from portalbus.streams.edge.assignor import LaneAssignor
from portalbus.streams.edge.consumer import LaneConsumer, Lanes, Positions
from portalbus.streams.edge.delivery import Delivery, Handle, Settle
from portalbus.streams.edge.failstop import FailStop, fail_stop
from portalbus.streams.edge.lane_queue import LaneChannel, LaneQueue
from portalbus.streams.edge.progress import LaneProgress
from portalbus.streams.edge.settings import EdgeSettings
from portalbus.streams.edge.transport import EdgeParts, LaneTransport

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Timer:
    """Something to do every so many seconds while the worker runs."""

    name: str
    seconds: float
    run: Callable[[], Awaitable[Any]]


def every(seconds: float, run: Callable[[], Awaitable[Any]], *, name: str | None = None) -> Timer:
    """Return a timer that awaits ``run`` every ``seconds``; if it raises, that is logged and it is run again."""
    return Timer(name or str(getattr(run, "__qualname__", run)), seconds, run)


class _NoProducer(BootStrategy):
    enable_kafka_producer = False
    enable_web = False


class _NoTables(TableManager):
    async def on_start(self) -> None:
        # Faust sleeps a second here for tables to be declared; there are none.
        await self._update_channels()
        await self.recovery.start()


class LaneApp(faust.App):
    """A Faust app that reads lanes."""

    BootStrategy = _NoProducer
    parts: EdgeParts

    async def on_first_start(self) -> None:
        """Create no data directories: the app keeps nothing on disk."""

    @property
    def lane_consumer(self) -> LaneConsumer:
        """The consumer, as what it is."""
        return cast(LaneConsumer, self.consumer)


def build_app(
    *,
    settings: EdgeSettings,
    lanes: Lanes,
    positions: Positions,
    handle: Handle,
    settle: Settle | None = None,
    timers: Iterable[Timer] = (),
    progress: LaneProgress | None = None,
    fail_stop: FailStop = fail_stop,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> LaneApp:
    """Return a worker's app; call it inside the running event loop.

    ``lanes`` gives the directory of lanes (asked again every ``lanes_refresh_interval``), ``positions`` the ledger's
    next offset per lane (a lane it leaves out starts at 0), ``handle`` judges and commits one batch. See
    ``Delivery`` for ``settle``. ``clock`` tells when the broker was asked where the lanes end.
    """
    app = LaneApp(settings.group, **_faust_settings(settings))
    progress = progress or LaneProgress()
    queue = LaneQueue(
        app.flow_control,
        max_records=settings.queue_max_records,
        max_bytes=settings.queue_max_bytes,
        batch_max_records=settings.batch_max_records,
        batch_max_bytes=settings.batch_max_bytes,
    )
    delivery = Delivery(queue, progress, handle, settle=settle, fail_stop=fail_stop)
    app.parts = EdgeParts(settings, lanes, positions, queue, delivery, progress, fail_stop, clock)
    app.transport = LaneTransport(app.conf.broker_consumer, app, app.parts)

    @app.agent(LaneChannel(app, lane_queue=queue), name="judge", concurrency=1)
    async def judge(batches: Any) -> None:
        async for batch in batches:
            await delivery.deliver(batch)

    for timer in (*timers, *_own_timers(app, settings, progress)):
        _start_with(app, timer)
    return app


def _faust_settings(settings: EdgeSettings) -> dict[str, Any]:
    """Return what RELIABILITY asks Faust to be set to; the consumer's own settings are in its thread."""
    return {
        "broker": settings.brokers(),
        "PartitionAssignor": LaneAssignor,
        "TableManager": _NoTables,
        "processing_guarantee": "at_least_once",
        "stream_wait_empty": True,
        "store": "memory://",
        "table_standby_replicas": 0,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "consumer_auto_offset_reset": "none",
        "broker_session_timeout": settings.session_timeout,
        "broker_heartbeat_interval": settings.heartbeat_interval,
        "broker_rebalance_timeout": settings.rebalance_timeout,
        "broker_request_timeout": max(settings.request_timeout, settings.session_timeout),
        "broker_commit_interval": settings.group_commit_interval,
        "web_enabled": False,
        "key_serializer": "raw",
        "value_serializer": "raw",
        "autodiscover": False,
    }


def _own_timers(app: LaneApp, settings: EdgeSettings, progress: LaneProgress) -> Iterable[Timer]:
    async def beat() -> None:
        progress.loop_beat()

    yield Timer("loop-beat", 1.0, beat)
    yield Timer("refresh-lanes", settings.lanes_refresh_interval, lambda: app.lane_consumer.refresh_lanes())
    yield Timer("refresh-ends", settings.ends_refresh_interval, lambda: app.lane_consumer.refresh_ends())


def _start_with(app: LaneApp, timer: Timer) -> None:
    @app.timer(timer.seconds, name=timer.name, traced=False)  # type: ignore[untyped-decorator]
    async def run() -> None:
        try:
            await timer.run()
        except Exception as error:
            log.error("timer.failed", timer=timer.name, error=type(error).__name__)
