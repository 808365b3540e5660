"""One trace for each event: W3C trace ids that every process knows by itself, and spans sent by OTLP when asked for.

The trace id of an event is its event id, and the id of each step's span follows from it, so nothing has to be stored
or carried for the steps of an event to stand in one trace. See docs/adr/0034-catalogue-search-traces.md.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

PUBLISH, JUDGE, RELAY = "publish", "judge", "relay"
PARENTS: Mapping[str, str] = {JUDGE: PUBLISH, RELAY: JUDGE}
"""The step that each step follows."""

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Variables of OpenTelemetry, one of which says where spans go; without them there are none."""

SAMPLED = "01"
CLOSE_MS = 5_000


def is_traced() -> bool:
    """Whether spans are asked for."""
    return any(os.environ.get(name) for name in ENDPOINTS)


def trace_id(event_id: str) -> str:
    """The trace of an event: 32 hexadecimal digits."""
    return event_id.replace("-", "")


def span_id(event_id: str, step: str) -> str:
    """The span of a step of an event: 16 hexadecimal digits."""
    return hashlib.sha256(f"{step} {event_id}".encode()).hexdigest()[:16]


def traceparent(event_id: str, step: str = PUBLISH) -> str:
    """The W3C header that says: what follows, follows this step."""
    return f"00-{trace_id(event_id)}-{span_id(event_id, step)}-{SAMPLED}"


class Spans:
    """Sends spans in the background, in batches; what cannot be sent is dropped, and nothing waits for it."""

    def __init__(self, service: str) -> None:
        """Raises ImportError without the extra `otel`."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self._resource: Resource = Resource.create({"service.name": f"portalbus-{service}"})
        self._processor: BatchSpanProcessor = BatchSpanProcessor(OTLPSpanExporter())

    def add(
        self,
        step: str,
        event_id: str,
        began_ns: int,
        ended_ns: int,
        attributes: Mapping[str, str | int],
        follows: str | None = None,
    ) -> None:
        """A step of an event, with its times in nanoseconds since 1970 UTC; linked to the trace it `follows`."""
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import Link, SpanKind

        trace = trace_id(event_id)
        before = PARENTS.get(step)
        cause = _context(*follows.split("-")[1:3]) if follows and follows.split("-")[1] != trace else None
        self._processor.on_end(
            ReadableSpan(
                name=f"{step} {attributes.get('portalbus.event_type', 'event')}",
                context=_context(trace, span_id(event_id, step)),
                parent=_context(trace, span_id(event_id, before)) if before else None,
                resource=self._resource,
                attributes={"portalbus.event_id": event_id, **attributes},
                links=[Link(cause)] if cause else (),
                kind=SpanKind.PRODUCER if step == PUBLISH else SpanKind.CONSUMER,
                start_time=began_ns,
                end_time=ended_ns,
            )
        )

    def add_all(self, step: str, events: Iterable[tuple[str, Mapping[str, str | int]]], began: int, ended: int) -> None:
        """The same step of many events, which took the same time."""
        for event_id, attributes in events:
            self.add(step, event_id, began, ended, attributes)

    def close(self) -> None:
        """Sends what is left, for five seconds at most."""
        self._processor.force_flush(CLOSE_MS)
        self._processor.shutdown()  # type: ignore[no-untyped-call]


def open_spans(service: str) -> Spans | None:
    """Where this process puts its spans; None when nobody asked. Raises ImportError without the extra `otel`."""
    return Spans(service) if is_traced() else None


def _context(trace: str, span: str) -> Any:
    from opentelemetry.trace import SpanContext, TraceFlags

    return SpanContext(int(trace, 16), int(span, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
