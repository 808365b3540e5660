"""The casework process: the law's clock over the ledger, and the scout of urgent cases in a thread of its own.

`python -m portalbus.streams.casework_process --help`.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import structlog
from confluent_kafka import KafkaException
from psycopg import Connection

from portalbus.schemas.codec import WriterSchemas
from portalbus.schemas.directory import directory
from portalbus.schemas.errors import UndecodableRecord
from portalbus.schemas.law.calendar import working_calendar
from portalbus.schemas.law.competence import competence
from portalbus.schemas.law.regimes import regimes
from portalbus.streams.casework.ahead import Ahead
from portalbus.streams.casework.caseworker import Caseworker
from portalbus.streams.casework.deriving import Law
from portalbus.streams.casework.scout import Scout
from portalbus.streams.casework.turns import Turns
from portalbus.streams.casework.urgency import UrgencyProbe
from portalbus.streams.decoding.decoder import Decoder
from portalbus.streams.ledger.behind import tell_missing
from portalbus.streams.ledger.database import BOUNDED, BY_KEY, connect
from portalbus.streams.ledger.hindered import once_unhindered
from portalbus.streams.ledger.leading import leading
from portalbus.streams.ledger.locks import AdvisoryLock
from portalbus.streams.ledger.order import CHANNEL
from portalbus.streams.logging_setup import log_json
from portalbus.streams.metrics.defined import Process
from portalbus.streams.metrics.ledger_state import CASEWORK, LedgerState
from portalbus.streams.metrics.measuring import Measures
from portalbus.streams.schema_waiting import wait_for_lane_schemas
from portalbus.streams.settings import StreamSettings

log = structlog.get_logger(__name__)

APPLICATION = "casework"
OPTIONS = f"-c idle_in_transaction_session_timeout=30s {BOUNDED} {BY_KEY}"
"""A session that is frozen in the middle of a step is ended by the server, and its place is free again."""
TICK_SECONDS = 1.0
PAUSE_SECONDS = 1.0
GATHER_SECONDS = 0.05
EXIT_RESTART = 70


def main() -> int:
    """Does casework until it is told to stop; 70 asks the supervisor to start it anew."""
    settings = StreamSettings.parse("portalbus-casework")
    log_json(APPLICATION)
    measures = Measures(Process.CASEWORK, *(metric for metric, _ in CASEWORK))
    measures.collect_from(LedgerState(settings.database_url, CASEWORK))
    measures.serve(settings.metrics_port)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        schemas = wait_for_lane_schemas(settings, stop)
        if schemas is not None:
            _work(settings, schemas.writers, stop)
    except (psycopg.Error, KafkaException, UndecodableRecord) as error:
        state = str(getattr(error, "sqlstate", "") or getattr(error, "rule", ""))
        log.error("casework.restart", error=type(error).__name__, detail=state)
        tell_missing(error, settings.database_url)
        return EXIT_RESTART
    log.info("casework.stopped")
    return 0


def _work(settings: StreamSettings, writers: WriterSchemas, stop: threading.Event) -> None:
    """Works until told to stop, once no other process does. Raises what the scout ended with."""
    with (
        connect(settings.database_url, application=APPLICATION, options=OPTIONS, autocommit=True) as connection,
        leading(connection, AdvisoryLock.CASEWORK, stop, settings.database_url) as leads,
    ):
        if not leads:
            return
        connection.execute(f"listen {CHANNEL}")
        turns = Turns()
        caseworker = Caseworker(connection, writers, _law(), turns=turns)
        once_unhindered(caseworker.start, APPLICATION, stop)
        with ThreadPoolExecutor(1, "scout") as threads:
            scouting = threads.submit(_scout, settings, writers, turns, stop)
            log.info("casework.started")
            try:
                while not stop.is_set() and not scouting.done():
                    if not once_unhindered(caseworker.step, APPLICATION, stop):
                        _wait(connection, stop)
            finally:
                stop.set()
        scouting.result()


def _law() -> Law:
    """What this process was started with; its number comes when it is written down."""
    return Law(0, working_calendar(), regimes(), directory(), competence())


def _scout(settings: StreamSettings, writers: WriterSchemas, turns: Turns, stop: threading.Event) -> None:
    with (
        connect(settings.database_url, application="scout", options=OPTIONS, autocommit=True) as connection,
        Decoder(writers) as decoder,
    ):
        ahead = Ahead(connection, Caseworker(connection, writers, _law()), turns, stop)
        Scout(settings.bootstrap, ahead, UrgencyProbe(writers), decoder, directory()).run(stop)


def _wait(connection: Connection[Any], stop: threading.Event) -> None:
    """Until the ledger says that something is new, or the next tick of the timers."""
    began = time.monotonic()
    for _ in connection.notifies(timeout=TICK_SECONDS, stop_after=1):
        pass
    if time.monotonic() - began < GATHER_SECONDS:
        stop.wait(GATHER_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
