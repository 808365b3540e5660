"""CloudEvents 1.0 headers (Kafka binding, binary mode) beside the Avro value."""

from __future__ import annotations

from portalbus.schemas.avro_files import NAMESPACE
from portalbus.schemas.models import Envelope

CONTENT_TYPE = b"application/avro"


def cloudevents_headers(envelope: Envelope, event_type: str, traceparent: str | None = None) -> list[tuple[str, bytes]]:
    """The `ce_*` headers of an event, and the W3C `traceparent` when there is one."""
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", envelope.id.encode()),
        ("ce_source", f"/{envelope.source}".encode()),
        ("ce_type", f"{NAMESPACE}.{event_type}".encode()),
        ("ce_time", envelope.occurred_at.isoformat(timespec="milliseconds").encode()),
        ("ce_sequence", str(envelope.sequence).encode()),
        ("content-type", CONTENT_TYPE),
    ]
    if traceparent:
        headers.append(("traceparent", traceparent.encode()))
    return headers
