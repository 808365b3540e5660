"""The early-warning process: a Faust processor over the canonical topics of feedback, and what it tells people.

`python -m portalbus.streams.warning_process --help`.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import structlog
from psycopg import Connection

from portalbus.schemas.law.calendar import working_calendar
from portalbus.schemas.registration import LaneSchemas
from portalbus.schemas.topics import CANONICAL
from portalbus.streams.edge.logs import route_library_logs
from portalbus.streams.edge.topic_app import CanonicalRecord, build_topic_app, run_topic_app
from portalbus.streams.ledger.behind import tell_missing
from portalbus.streams.ledger.database import connect
from portalbus.streams.ledger.hindered import HINDRANCES, once_unhindered, say_hindered
from portalbus.streams.ledger.leading import leading
from portalbus.streams.ledger.locks import AdvisoryLock
from portalbus.streams.logging_setup import log_json
from portalbus.streams.metrics.defined import Process
from portalbus.streams.metrics.ledger_state import WARNING, LedgerState
from portalbus.streams.metrics.measuring import Measures
from portalbus.streams.schema_waiting import look_for_schemas, wait_for_lane_schemas
from portalbus.streams.settings import StreamSettings
from portalbus.streams.warning.early_warning import EarlyWarning

log = structlog.get_logger(__name__)

APPLICATION = "warning"
GROUP = "portalbus-warning"
TOPICS = (CANONICAL["FeedbackReceived"], CANONICAL["FeedbackResolved"])
OPTIONS = "-c idle_in_transaction_session_timeout=300s -c lock_timeout=10s -c statement_timeout=300s -c jit=off"
LOOK_SECONDS = 1.0
PAUSE_SECONDS = 1.0
MOST_WAITING = 5_000
"""Records that wait for the next look; reading rests when there are more."""
EXIT_RESTART = 70


def main() -> int:
    """Watches until it is told to stop; 70 asks the supervisor to start it anew."""
    settings = StreamSettings.parse("portalbus-warning")
    log_json(APPLICATION)
    route_library_logs()
    measures = Measures(Process.WARNING, *(metric for metric, _ in WARNING))
    measures.collect_from(LedgerState(settings.database_url, WARNING))
    measures.serve(settings.metrics_port)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        schemas = wait_for_lane_schemas(settings, stop)
        if schemas is None:
            return 0
        with (
            connect(settings.database_url, application=APPLICATION, options=OPTIONS, autocommit=True) as connection,
            leading(connection, AdvisoryLock.WARNING, stop, settings.database_url) as leads,
        ):
            if not leads:
                return 0
            warning = EarlyWarning(connection, schemas.writers, working_calendar())
            once_unhindered(warning.load, APPLICATION, stop)
            return 0 if stop.is_set() else asyncio.run(_watch(settings, warning, connection, schemas))
    except psycopg.Error as error:
        log.error("warning.restart", error=type(error).__name__, detail=str(error.sqlstate or ""))
        tell_missing(error, settings.database_url)
        return EXIT_RESTART


async def _watch(
    settings: StreamSettings, warning: EarlyWarning, connection: Connection[Any], schemas: LaneSchemas
) -> int:
    """Runs the processor. Records gather between two looks, and one thread alone touches the watch."""
    gathered: list[CanonicalRecord] = []
    taken = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def take(record: CanonicalRecord) -> None:
        gathered.append(record)
        while len(gathered) >= MOST_WAITING:
            taken.clear()
            await taken.wait()

    with ThreadPoolExecutor(1, "warning") as thread:

        async def work(stop: asyncio.Event) -> None:
            log.info("warning.started")
            while not stop.is_set():
                began = time.monotonic()
                records = [(record.position, record.value) for record in gathered]
                gathered.clear()
                taken.set()
                await loop.run_in_executor(thread, _look, warning, records, schemas)
                rest = max(LOOK_SECONDS - (time.monotonic() - began), 0.0)
                try:
                    await asyncio.wait_for(stop.wait(), rest)
                except TimeoutError:
                    continue

        status = await run_topic_app(build_topic_app(GROUP, settings.bootstrap, TOPICS, take), settings.bootstrap, work)
    log.info("warning.stopped")
    return status


def _look(warning: EarlyWarning, records: list[tuple[int, bytes]], schemas: LaneSchemas) -> None:
    look_for_schemas(schemas)  # what has come was written under versions that were registered before
    warning.take(records)
    try:
        warning.look()
    except HINDRANCES as error:
        say_hindered(error, APPLICATION)


if __name__ == "__main__":
    sys.exit(main())
