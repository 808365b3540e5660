"""Counts what became of deliveries, for Prometheus."""

from __future__ import annotations

from portalbus.connectors.push.journal import Journal
from portalbus.connectors.push.store import Delivered, Undelivered
from portalbus.streams.metrics.defined import WEBHOOK_DELIVERIES
from portalbus.streams.metrics.measuring import Measures


class CountingJournal(Journal):
    """A journal that counts the results it is given; set `measures` before it starts."""

    measures: Measures

    def write(self, result: Delivered | Undelivered) -> None:
        """Counts a result and writes it down, soon."""
        self.measures.count(WEBHOOK_DELIVERIES, 1, "delivered" if isinstance(result, Delivered) else "failed")
        super().write(result)
