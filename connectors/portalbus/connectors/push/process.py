"""The webhook process: the composition root, and its life."""

from __future__ import annotations

import asyncio
import signal
import ssl
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import structlog

from portalbus.connectors.push.counting import CountingJournal
from portalbus.connectors.push.decoding import Decoder
from portalbus.connectors.push.intake import Intake, Sources
from portalbus.connectors.push.leading import Leadership
from portalbus.connectors.push.messages import Message
from portalbus.connectors.push.posting import TIMEOUT_S, CheckedNetwork, Poster
from portalbus.connectors.push.retrying import Retrying
from portalbus.connectors.push.sending import Receivers
from portalbus.connectors.push.store import Superseded
from portalbus.connectors.push.subscriptions import PACKAGE, Subscription
from portalbus.schemas.kafka_settings import librdkafka_settings
from portalbus.streams.ledger.database import BOUNDED, Session, migrate
from portalbus.streams.metrics.defined import Process
from portalbus.streams.metrics.measuring import Measures

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
RESOLVERS = 32
GRACE_S = 5.0
EXIT_RESTART = 70


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Settings of the process. `database_url` holds a password: it is left out of the repr, and must not be logged.

    `room` deliveries to one receiver are under way at a time; an answer has to come within `timeout` seconds.
    """

    bootstrap: str
    registry_url: str
    database_url: str = field(repr=False)
    room: int = 4
    timeout: float = TIMEOUT_S
    retrying: Retrying = field(default_factory=Retrying)
    metrics_port: int | None = None


class _Stopped(BaseException):
    """Told to stop while the database is away."""


def run(settings: WebhookSettings) -> int:
    """Sends webhooks until SIGINT or SIGTERM; 70 asks for a new start. To be called in the main thread."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        migrate(settings.database_url, PACKAGE)
        measures = Measures(Process.WEBHOOKS)
        measures.serve(settings.metrics_port)
        return _run(settings, stop, measures)
    except _Stopped:
        return 0
    except Superseded as error:
        log.error("webhooks.superseded", detail=str(error))
        return EXIT_RESTART


def _run(settings: WebhookSettings, stop: threading.Event, measures: Measures) -> int:
    leadership = Leadership(_session(settings, stop, autocommit=True))
    try:
        term = leadership.become_leader(stop)
        if term is None:
            return 0
        log.info("webhooks.started", term=term)
        return asyncio.run(_Process(settings, stop, leadership, term, measures).run())
    finally:
        leadership.close()


class _Process:
    """Everything that runs while this process is the one that sends."""

    def __init__(
        self,
        settings: WebhookSettings,
        stop: threading.Event,
        leadership: Leadership,
        term: int,
        measures: Measures,
    ) -> None:
        self._measures = measures
        self._settings = settings
        self._stop = stop
        self._leadership = leadership
        self._term = term
        self._failure: BaseException | None = None

    async def run(self) -> int:
        """Runs until told to stop; raises what ended it otherwise."""
        loop = asyncio.get_running_loop()
        settings, stop = self._settings, self._stop
        journal = CountingJournal(_session(settings, stop), self._term, self._fail)
        journal.measures = self._measures

        def hand_out(queued: Sequence[tuple[str, Message]]) -> None:
            if queued:
                journal.remember(message for _, message in queued)
                loop.call_soon_threadsafe(receivers.hand_out, queued)

        with ThreadPoolExecutor(RESOLVERS, "resolver") as resolvers:
            receivers = Receivers(self._poster_factory(resolvers), journal, settings.retrying, settings.room)
            sources = Sources(librdkafka_settings(settings.bootstrap), Decoder(settings.registry_url))
            intake = Intake(sources, _session(settings, stop), self._term, hand_out, self._fail)
            journal.start()
            intake.start()
            try:
                await self._keep_in_step(receivers)
            finally:
                await asyncio.to_thread(intake.close, GRACE_S)
                await receivers.close()
                await asyncio.to_thread(journal.close, GRACE_S)
                resolvers.shutdown(wait=False, cancel_futures=True)
        if self._failure is not None and not isinstance(self._failure, _Stopped):
            raise self._failure
        log.info("webhooks.stopped")
        return 0

    async def _keep_in_step(self, receivers: Receivers) -> None:
        while not self._stop.is_set() and self._failure is None:
            await receivers.keep_in_step(await asyncio.to_thread(self._leadership.look))
            await asyncio.to_thread(self._stop.wait, LOOK_EVERY_S)

    def _poster_factory(self, resolvers: ThreadPoolExecutor) -> _Posters:
        return _Posters(self._settings, resolvers, ssl.create_default_context())

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._stop.set()


@dataclass(frozen=True, slots=True)
class _Posters:
    """Makes a poster for each subscription."""

    settings: WebhookSettings
    resolvers: ThreadPoolExecutor
    tls: ssl.SSLContext

    def __call__(self, subscription: Subscription) -> Poster:
        network = CheckedNetwork(self.resolvers, private=subscription.internal)
        return Poster(subscription.url, network, self.tls, room=self.settings.room, timeout=self.settings.timeout)


def _session(settings: WebhookSettings, stop: threading.Event, *, autocommit: bool = False) -> Session:
    def pause(seconds: float) -> None:
        if stop.wait(seconds):
            raise _Stopped

    return Session(settings.database_url, application="webhooks", options=BOUNDED, autocommit=autocommit, pause=pause)
