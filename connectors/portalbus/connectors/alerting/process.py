"""The alerting process: the composition root, and its life."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
import structlog
from psycopg import Connection

from portalbus.connectors.alerting.channels import Channel
from portalbus.connectors.alerting.report_channels import ReportChannel
from portalbus.connectors.alerting.reporting import begin_reports, report_all
from portalbus.connectors.alerting.telling import PACKAGE, begin, tell_all
from portalbus.streams.ledger.database import BOUNDED, connect, migrate
from portalbus.streams.ledger.order import CHANNEL
from portalbus.streams.metrics.defined import ALERTS_TOLD, Process
from portalbus.streams.metrics.measuring import Measures

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 2.0
PAUSE_S = 5.0


def run(
    database_url: str,
    recipients: Sequence[Channel],
    metrics_port: int | None = None,
    *,
    reports: Sequence[ReportChannel] = (),
    once: bool = False,
) -> int:
    """Tells of alerts and sends reports until SIGINT or SIGTERM, or once; returns how many. In the main thread.

    A database that is away is waited for. Raises psycopg.Error with `once`.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    measures = Measures(Process.ALERTING)
    measures.serve(metrics_port)

    def counted(channel: str, outcome: str) -> None:
        measures.count(ALERTS_TOLD, 1, channel, outcome)

    def say_all(connection: Connection[Any]) -> int:
        said = tell_all(connection, recipients, counted)
        return said + report_all(connection, reports, datetime.now(UTC), counted)

    told = 0
    while not stop.is_set():
        try:
            migrate(database_url, PACKAGE)
            with connect(database_url, application="alerting", options=BOUNDED, autocommit=True) as connection:
                begin(connection, recipients)
                begin_reports(connection, reports, datetime.now(UTC))
                if once:
                    return say_all(connection)
                log.info("alerting.started", recipients=len(recipients), reports=len(reports))
                connection.execute(f"listen {CHANNEL}")
                while not stop.is_set():
                    told += say_all(connection)
                    for _ in connection.notifies(timeout=LOOK_EVERY_S, stop_after=1):
                        pass
        except psycopg.OperationalError as error:
            if once:
                raise
            log.warning("alerting.database-away", sqlstate=error.sqlstate, retry_in_s=PAUSE_S)
            stop.wait(PAUSE_S)
    log.info("alerting.stopped", told=told)
    return told
