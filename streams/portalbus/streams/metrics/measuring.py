"""The metrics of one process, made from the list, and the small endpoint that serves them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, start_http_server
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from portalbus.streams.metrics.defined import Kind, Metric, Process, metrics_of

log = structlog.get_logger(__name__)

PORT_VARIABLE = "PORTALBUS_METRICS_PORT"
HOST_VARIABLE = "PORTALBUS_METRICS_HOST"
USUAL_HOST = "127.0.0.1"


class Measures:
    """What one process has measured, in a registry of its own.

    Metrics of the list that a collector gives are left to it. Updates cost a microsecond: make them once a batch.
    """

    def __init__(self, process: Process, *collected: Metric) -> None:
        self.registry = CollectorRegistry()
        self._process = process
        self._made: dict[str, Any] = {
            metric.name: _made(metric, self.registry) for metric in metrics_of(process) if metric not in collected
        }
        ProcessCollector(registry=self.registry)
        Info("portalbus_process", "Which process this is", registry=self.registry).info(
            {"process": process.value, "version": version("portalbus")}
        )

    def count(self, metric: Metric, amount: float = 1, *labels: str) -> None:
        """Adds to a counter. Raises KeyError for a metric of another process."""
        self._of(metric, labels).inc(amount)

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Puts a value into a histogram. Raises KeyError for a metric of another process."""
        self._of(metric, labels).observe(value)

    def show(self, metric: Metric, value: float, *labels: str) -> None:
        """Sets a gauge. Raises KeyError for a metric of another process."""
        self._of(metric, labels).set(value)

    def collect_from(self, collector: Collector) -> None:
        """Asks a collector whenever somebody asks for the metrics."""
        self.registry.register(collector)

    def serve(self, port: int | None, host: str | None = None) -> int | None:
        """Serves them, as `serve_metrics` does."""
        return serve_metrics(self.registry, port, host)

    def _of(self, metric: Metric, labels: tuple[str, ...]) -> Any:
        made = self._made[metric.name]
        return made.labels(*labels) if labels else made


def serve_metrics(registry: CollectorRegistry, port: int | None, host: str | None = None) -> int | None:
    """Serves `/metrics` from a thread of its own until the process ends; returns the port, None for no port.

    Port 0 takes a free one. A port that is in use is logged and no reason to end: events matter more.
    """
    if port is None:
        return None
    where = host or os.environ.get(HOST_VARIABLE, USUAL_HOST)
    try:
        server, _ = start_http_server(port, where, registry)
    except OSError as error:
        log.error("metrics.not-served", port=port, error=error.strerror)
        return None
    log.info("metrics.served", port=server.server_port)
    return int(server.server_port)


def port_from_environment(environment: Mapping[str, str] = os.environ) -> int | None:
    """The port that PORTALBUS_METRICS_PORT names, None without it. Raises ValueError when it is no port."""
    return port_of(environment.get(PORT_VARIABLE, ""))


def port_of(text: str) -> int | None:
    """The port that a flag names, None for an empty one. Raises ValueError when it is no port."""
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()) or int(text) > 65_535:
        raise ValueError(f"{text!r} is no port: give 0 to 65535")
    return int(text)


def _made(metric: Metric, registry: CollectorRegistry) -> Any:
    if metric.kind is Kind.HISTOGRAM:
        return Histogram(metric.name, metric.meaning.en, metric.labels, buckets=metric.buckets, registry=registry)
    kind = Counter if metric.kind is Kind.COUNTER else Gauge
    return kind(metric.name, metric.meaning.en, metric.labels, registry=registry)
