"""CloudEvents 1.0 headers (Kafka binding, binary mode) beside the Avro value."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from portalbus.schemas.avro_files import NAMESPACE
from portalbus.schemas.models import Envelope

CONTENT_TYPE = b"application/avro"
SHOWN_FROM_HEADER = "ce_shownfrom"
"""On a public answer in a canonical topic: the moment (RFC 3339) before which nobody may show it."""
POSITION_HEADER = "portalbus-position"
"""On all that the centre sends: its position in the ledger's order."""


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


def shown_from_of(headers: Iterable[tuple[str, bytes | None]]) -> datetime | None:
    """From when on the answer in a record of a canonical topic may be shown; None where nothing speaks against it.

    Raises ValueError for a header that is no time.
    """
    said = dict(headers).get(SHOWN_FROM_HEADER)
    return datetime.fromisoformat(said.decode()) if said else None
