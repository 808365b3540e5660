"""The state of the ledger, asked for when somebody asks for the metrics, and not more often than every ten seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
import structlog
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from portalbus.streams.ledger.database import connect
from portalbus.streams.metrics import defined
from portalbus.streams.metrics.defined import Metric

log = structlog.get_logger(__name__)

KEPT_SECONDS = 10.0
OPTIONS = "-c statement_timeout=5s -c default_transaction_read_only=on"
LEDGER: tuple[tuple[Metric, str], ...] = (
    (defined.LEDGER_POSITION, "select next - 1 from ledger.position"),
    (defined.WAITING, "select agency, count(*) from ledger.waiting group by agency"),
    (defined.PARKED, "select agency, count(*) from ledger.parked where state = 'parked' group by agency"),
    (defined.GAPS, "select agency, count(*) from ledger.gap group by agency"),
    (
        defined.ALERTS_OPEN,
        "select kind, agency, count(*) from ledger.alert where closed_at is null group by kind, agency",
    ),
)
CASEWORK: tuple[tuple[Metric, str], ...] = (
    (defined.CASEWORK_POSITION, "select coalesce(max(position), 0) from casework.place"),
)

WARNING: tuple[tuple[Metric, str], ...] = (
    (
        defined.WARNING_INCIDENTS,
        "select kind, count(*) from ledger.alert where closed_at is null and topic <> '' group by kind",
    ),
)


class LedgerState(Collector):
    """Gauges that are questions to the database: all columns but the last are labels.

    While the database is away there are no figures, and none that are old.
    """

    def __init__(self, database_url: str, questions: Sequence[tuple[Metric, str]] = LEDGER) -> None:
        self._url = database_url
        self._questions = questions
        self._lock = threading.Lock()
        self._kept: list[Family] = []
        self._asked_at = -KEPT_SECONDS

    def describe(self) -> Iterable[Family]:
        """The names alone: nobody asks the database at the start."""
        return [
            GaugeMetricFamily(metric.name, metric.meaning.en, labels=metric.labels) for metric, _ in self._questions
        ]

    def collect(self) -> Iterable[Family]:
        """The figures, at most ten seconds old."""
        with self._lock:
            if time.monotonic() - self._asked_at >= KEPT_SECONDS:
                self._kept = self._ask()
                self._asked_at = time.monotonic()
            return list(self._kept)

    def _ask(self) -> list[Family]:
        try:
            with connect(self._url, application="metrics", options=OPTIONS, autocommit=True) as connection:
                return [_family(metric, connection.execute(question)) for metric, question in self._questions]
        except psycopg.Error as error:
            log.warning("metrics.ledger-away", error=type(error).__name__, sqlstate=error.sqlstate)
            return []


def _family(metric: Metric, rows: Iterable[tuple[Any, ...]]) -> Family:
    family = GaugeMetricFamily(metric.name, metric.meaning.en, labels=metric.labels)
    for *labels, value in rows:
        family.add_metric(labels, float(value))
    return family
