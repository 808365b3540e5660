"""Grafana's dashboards, from the list of metrics: one for each process, one panel for each metric."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from portalbus.streams.metrics.defined import Kind, Metric, Process, metrics_of

COLUMNS, WIDTH, HEIGHT = 2, 12, 8
SCHEMA_VERSION = 41
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
UNITS = {"seconds": "s"}


def dashboards(language: str = "en") -> dict[str, Mapping[str, Any]]:
    """Every dashboard by the name of its file; titles in `language`."""
    return {f"portalbus-{process.value}.json": _dashboard(process, language) for process in Process}


def query(metric: Metric) -> str:
    """What a panel shows of a metric: rates of counters, the 99th percentile of histograms, gauges as they are."""
    by = ", ".join(metric.labels)
    if metric.kind is Kind.COUNTER:
        return f"sum by ({by}) (rate({metric.series}[$__rate_interval]))"
    if metric.kind is Kind.HISTOGRAM:
        labels = ", ".join(("le", *metric.labels))
        return f"histogram_quantile(0.99, sum by ({labels}) (rate({metric.name}_bucket[$__rate_interval])))"
    return f"max by ({by}) ({metric.series})"


def _dashboard(process: Process, language: str) -> dict[str, Any]:
    uid = "portalbus-" + process.value
    panels = [_panel(number, metric, language) for number, metric in enumerate(metrics_of(process))]
    return {
        "uid": uid,
        "title": f"portalbus · {process.value}",
        "tags": ["portalbus"],
        "schemaVersion": SCHEMA_VERSION,
        "version": int(hashlib.sha256(repr(panels).encode()).hexdigest()[:7], 16),
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}]
        },
        "panels": panels,
    }


def _panel(number: int, metric: Metric, language: str) -> dict[str, Any]:
    row, column = divmod(number, COLUMNS)
    rate = metric.kind is Kind.COUNTER
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": getattr(metric.meaning, language) + (" (p99)" if metric.kind is Kind.HISTOGRAM else ""),
        "description": metric.series,
        "datasource": SOURCE,
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {
            "defaults": {"unit": "cps" if rate else UNITS.get(metric.unit, "short"), "min": 0},
            "overrides": [],
        },
        "targets": [
            {
                "refId": "A",
                "datasource": SOURCE,
                "expr": query(metric),
                "legendFormat": " ".join(f"{{{{{label}}}}}" for label in metric.labels) or process_legend(metric),
            }
        ],
    }


def process_legend(metric: Metric) -> str:
    """What a line without labels is called."""
    return metric.process.value
