"""Counts the passes of connectors, for Prometheus."""

from __future__ import annotations

from portalbus.connectors.pull.passing import PassReport
from portalbus.streams.metrics.defined import PULL_PASSES, PULL_PUBLISHED, PULL_SECONDS
from portalbus.streams.metrics.measuring import Measures


def count_pass(measures: Measures, report: PassReport) -> None:
    """Counts a pass that ended: read, failed, or postponed."""
    outcome = "failed" if report.failed else "postponed" if report.postponed else "read"
    measures.count(PULL_PASSES, 1, outcome)
    measures.observe(PULL_SECONDS, report.seconds)
    if report.published:
        measures.count(PULL_PUBLISHED, report.published)
