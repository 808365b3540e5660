"""A Faust app over canonical topics, for a processor whose state is a cache: it reads what is committed."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import aiokafka
import faust
import structlog
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from faust.app.base import BootStrategy
from faust.transport.drivers import aiokafka as driver

from portalbus.schemas.headers import POSITION_HEADER
from portalbus.schemas.kafka_settings import aiokafka_settings
from portalbus.streams.edge.broker import wait_for_broker
from portalbus.streams.edge.consumer_thread import EndingThread
from portalbus.streams.edge.failstop import EXIT_FAIL_STOP, fail_stop

log = structlog.get_logger(__name__)

STOP_WITHIN_SECONDS = 25.0


@dataclass(frozen=True, slots=True)
class CanonicalRecord:
    """A record of a canonical topic: its place in the ledger's order, and its value."""

    position: int
    value: bytes


Take = Callable[[CanonicalRecord], Awaitable[None]]


class _CommittedThread(EndingThread):
    """Reads what is committed: the relay sends in transactions."""

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        conf = self.app.conf
        self._assignor = RoundRobinPartitionAssignor
        return aiokafka.AIOKafkaConsumer(
            **aiokafka_settings(",".join(driver.server_list(transport.url, transport.default_port))),
            client_id=conf.broker_client_id,
            group_id=conf.id,
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=500,
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            isolation_level="read_committed",
        )


class _CommittedConsumer(driver.Consumer):
    def _new_consumer_thread(self) -> _CommittedThread:
        return _CommittedThread(self, loop=self.loop, beacon=self.beacon)


class _CommittedTransport(driver.Transport):
    Consumer = _CommittedConsumer


class _ReadsOnly(BootStrategy):
    enable_kafka_producer = False
    enable_web = False


class _TopicApp(faust.App):
    BootStrategy = _ReadsOnly

    async def on_first_start(self) -> None:
        """Create no data directories: the app keeps nothing on disk."""


def build_topic_app(group: str, bootstrap: str, topics: Sequence[str], take: Take) -> faust.App:
    """An app that gives `take` every record of these topics at least once; call it inside the running event loop."""
    app = _TopicApp(
        group,
        broker=[f"kafka://{server.strip()}" for server in bootstrap.split(",") if server.strip()],
        store="memory://",
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_wait_empty=False,
        broker_session_timeout=10.0,
        broker_heartbeat_interval=1.0,
        broker_request_timeout=90.0,
        web_enabled=False,
        key_serializer="raw",
        value_serializer="raw",
        autodiscover=False,
    )
    app.transport = _CommittedTransport(app.conf.broker_consumer, app)

    @app.agent(app.topic(*topics, key_serializer="raw", value_serializer="raw"), name="warn", concurrency=1)
    async def warn(records: Any) -> None:
        async for event in records.events():
            await take(CanonicalRecord(_position(event.message.headers), event.message.value or b""))

    return app


async def run_topic_app(app: faust.App, bootstrap: str, work: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Runs the app, and `work` beside it, until a signal or until either ends; returns the exit status.

    An exception of `work` is raised on; a crash of the app is status 70.
    """
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    deadline = threading.Timer(STOP_WITHIN_SECONDS, fail_stop, ("it did not stop in time",))
    deadline.daemon = True
    if not await _unless(stop, wait_for_broker(bootstrap)):
        return 0
    app.in_worker = True
    await app.start()
    working = asyncio.ensure_future(work(stop))
    waiting = [asyncio.ensure_future(one) for one in (stop.wait(), app._crashed.wait())]
    try:
        await asyncio.wait([working, *waiting], return_when=asyncio.FIRST_COMPLETED)
        crashed = app.crashed
        stop.set()
        deadline.start()
        await working
    finally:
        for one in waiting:
            one.cancel()
        await app.stop()
        deadline.cancel()
    if crashed:
        log.critical("edge.crashed", error=type(app.crash_reason).__name__)
    return EXIT_FAIL_STOP if crashed else 0


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Does this, unless it is told to stop before it has done; returns whether it has. What it raises is raised on."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    done = working.done()
    if done:
        working.result()
    working.cancel()
    return done


def _position(headers: Any) -> int:
    found = dict(headers or ()).get(POSITION_HEADER)
    return int(found) if found else 0
