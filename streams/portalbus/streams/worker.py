"""The worker process: lanes in, ledger out. `python -m portalbus.streams.worker --help`."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import structlog
from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient

from portalbus.schemas.codec import WriterSchemas
from portalbus.schemas.directory import directory
from portalbus.schemas.kafka_settings import librdkafka_settings
from portalbus.schemas.registration import LaneSchemas
from portalbus.schemas.topics import is_lane
from portalbus.schemas.tracing import open_spans
from portalbus.schemas.working_time import working_time
from portalbus.streams.decoding.decoder import Decoder
from portalbus.streams.decoding.learning_decoder import LearningDecoder
from portalbus.streams.edge.app import LaneApp, build_app, every
from portalbus.streams.edge.failstop import fail_stop, parking_stop
from portalbus.streams.edge.logs import route_library_logs, shown
from portalbus.streams.edge.progress import LaneProgress
from portalbus.streams.edge.settings import EdgeSettings
from portalbus.streams.edge.worker import run_worker
from portalbus.streams.intake import Intake
from portalbus.streams.judgement.bounds import Bounds
from portalbus.streams.ledger.behind import tell_missing
from portalbus.streams.ledger.database import CalledOff
from portalbus.streams.ledger.ledger import LaneJump, Ledger
from portalbus.streams.ledger.parking_limit import ParkingStopped
from portalbus.streams.logging_setup import log_json
from portalbus.streams.metrics.worker_measures import WorkerMeasures
from portalbus.streams.reconciling.keeper import LOOK_SECONDS, Keeper
from portalbus.streams.reconciling.lane_reader import LaneReader
from portalbus.streams.reconciling.reconciler import Reconciler
from portalbus.streams.schema_learner import LEARN_EVERY_SECONDS, SchemaLearner
from portalbus.streams.schema_waiting import look_for_schemas, wait_for_lane_schemas
from portalbus.streams.settings import StreamSettings
from portalbus.streams.silence.deadlines import Patience
from portalbus.streams.silence.watcher import Watcher
from portalbus.streams.spans import tell_judged

log = structlog.get_logger(__name__)

EXPIRE_EVERY_SECONDS = 5.0
ENDS_EVERY_SECONDS = 2.0
TEND_EVERY_SECONDS = 1.0
METADATA_TIMEOUT_SECONDS = 10.0


def main() -> int:
    """Runs one worker until it is told to stop; returns its exit status."""
    settings = StreamSettings.parse("portalbus-worker")
    log_json("worker")
    route_library_logs()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until the worker runs, there is nothing to finish
    schemas = wait_for_lane_schemas(settings, threading.Event())
    return run_worker(partial(open_app, settings, schemas)) if schemas is not None else 0


@asynccontextmanager
async def open_app(settings: StreamSettings, schemas: LaneSchemas, ending: threading.Event) -> AsyncIterator[LaneApp]:
    """Builds everything a worker needs, and lets go of it at the end; once it is `ending` no database is waited for."""
    writers = schemas.writers
    progress = LaneProgress()
    measures = WorkerMeasures(progress)
    measures.measures.serve(settings.metrics_port)

    def pause(seconds: float) -> None:
        progress.alive()  # waiting for the database is no standstill
        if ending.wait(seconds):
            raise CalledOff

    bounds = Bounds(
        gap_hold=timedelta(seconds=settings.gap_hold), parked_hold=settings.parked_hold, review=settings.review
    )
    ledger = Ledger(
        settings.database_url,
        writers,
        directory(),
        bounds=bounds,
        parking_limit=settings.parking_limit,
        pause=pause,
        learn=partial(look_for_schemas, schemas),
    )

    def failed(error: Exception) -> None:
        if isinstance(error, ParkingStopped):
            parking_stop(str(error))
        tell_missing(error, settings.database_url)
        jump = str(error) if isinstance(error, LaneJump) else None
        fail_stop("a batch could not be committed", **shown(error), jump=jump)

    spans = open_spans("worker")
    traced = partial(tell_judged, spans) if spans else None
    decoder = LearningDecoder(Decoder(writers), schemas, look_for_schemas)
    intake = Intake(ledger, decoder, progress.committed, failed, measures.committed, traced)
    admin = AdminClient(librdkafka_settings(settings.bootstrap))

    async def lanes() -> Collection[str]:
        return await intake.recognised(await asyncio.to_thread(_lanes_there, admin))

    async def tend_gaps() -> None:
        await intake.tend_gaps(progress.heard_until())

    watcher = Watcher(
        settings.database_url,
        progress.heard_until,
        working_time(),
        patience=Patience(silent_after=settings.silent_after),
    )

    async def look() -> None:
        await watcher.look()
        measures.looked()

    keeper = Keeper(partial(_reconciler, settings, writers), settings.reconcile_every, progress.is_behind)
    learner = SchemaLearner(schemas, settings.database_url, directory(), bounds, ledger.time.now)
    edge = EdgeSettings(
        bootstrap_servers=settings.bootstrap,
        group=settings.group,
        session_timeout=settings.session_timeout,
        ends_refresh_interval=min(ENDS_EVERY_SECONDS, settings.watch_seconds),
    )
    try:
        yield build_app(
            settings=edge,
            lanes=lanes,
            positions=intake.positions,
            handle=intake.handle,
            settle=intake.settle,
            timers=[
                every(EXPIRE_EVERY_SECONDS, intake.expire),
                every(settings.watch_seconds, look),
                every(TEND_EVERY_SECONDS, tend_gaps),
                every(LOOK_SECONDS, keeper.look),
                every(LEARN_EVERY_SECONDS, learner.look),
            ],
            progress=progress,
            clock=ledger.time.now,
        )
    finally:
        await learner.close()
        await keeper.close()
        await watcher.close()
        await intake.close()
        if spans:
            spans.close()


def _lanes_there(admin: AdminClient) -> dict[str, str]:
    """The lanes in Kafka, with the ids of their topics. Raises KafkaException."""
    names = [name for name in admin.list_topics(timeout=METADATA_TIMEOUT_SECONDS).topics if is_lane(name)]
    if not names:
        return {}
    asked = admin.describe_topics(TopicCollection(names), request_timeout=METADATA_TIMEOUT_SECONDS)
    return {name: str(described.result().topic_id) for name, described in asked.items()}


def _reconciler(settings: StreamSettings, writers: WriterSchemas, rest: Callable[[], None]) -> Reconciler:
    lanes = LaneReader(settings.bootstrap, writers)
    return Reconciler(settings.database_url, writers, lanes, rest=rest)


if __name__ == "__main__":
    sys.exit(main())
