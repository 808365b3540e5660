"""The spans of what was published: from its place in the outbox until the broker had it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from portalbus.producers.backlog import Fate, Settled
from portalbus.producers.stored_event import id_text
from portalbus.schemas.tracing import PUBLISH, Spans, open_spans

MILLISECOND_NS = 1_000_000


class DeliveredSpans:
    """Made by whoever delivers: `service` is the SDK's portal or the gateway. Opens nothing before the first event was
    delivered."""

    def __init__(self, source: str, service: str) -> None:
        self._source = source
        self._service = service
        self._spans: Spans | None = None

    def delivered(self, settled: Sequence[Settled]) -> None:
        """Tells of those that the broker has taken; a link leads to the trace that the portal's own code gave."""
        ended_ns = time.time_ns()
        if self._spans is None:
            self._spans = open_spans(self._service)
        for event in (done.event for done in settled if done.fate is Fate.DELIVERED):
            attributes: dict[str, str | int] = {
                "portalbus.event_type": event.event_type,
                "portalbus.source": self._source,
                "portalbus.sequence": event.sequence,
            }
            if self._spans is not None:
                began_ns = min(event.published_at * MILLISECOND_NS, ended_ns)
                follows = event.traceparent
                self._spans.add(PUBLISH, id_text(event.event_id), began_ns, ended_ns, attributes, follows)

    def close(self) -> None:
        """Sends what is left."""
        if self._spans is not None:
            self._spans.close()
            self._spans = None
