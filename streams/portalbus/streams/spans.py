"""The spans of the worker and the relay: one for each event of a batch, made after its commit."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from portalbus.schemas.codec import Decoded, Misshapen
from portalbus.schemas.tracing import JUDGE, RELAY, Spans
from portalbus.streams.judgement.docket import Item
from portalbus.streams.relaying.outgoing import Judged, Outgoing


def tell_judged(spans: Spans, items: Sequence[Item], began_ns: int) -> None:
    """What the worker did with each event that could be read; linked to the trace that its sender gave it."""
    ended_ns = time.time_ns()
    for record, content in items:
        if isinstance(content, Decoded | Misshapen):
            envelope = content.event.envelope if isinstance(content, Decoded) else content.envelope
            event_type = content.event.payload.event_type if isinstance(content, Decoded) else content.event_type
            attributes: dict[str, str | int] = {
                "portalbus.event_type": event_type,
                "portalbus.lane": record.lane,
                "portalbus.offset": record.offset,
            }
            follows = next(
                (value.decode("ascii", "replace") for name, value in record.headers if _is_trace(name)), None
            )
            spans.add(JUDGE, envelope.id, began_ns, ended_ns, attributes, _sound(follows))


def tell_relayed(spans: Spans, batch: Iterable[Outgoing], began_ns: int) -> None:
    """What the relay sent on."""
    ended_ns = time.time_ns()
    for one in batch:
        if isinstance(one, Judged) and one.event_id:
            attributes: dict[str, str | int] = {
                "portalbus.event_type": one.event_type or "",
                "portalbus.position": one.position,
                "portalbus.status": one.status,
                "portalbus.rule": one.rule,
            }
            spans.add(RELAY, one.event_id, began_ns, ended_ns, attributes)


def _is_trace(name: str) -> bool:
    return name == "traceparent"


def _sound(said: str | None) -> str | None:
    """A W3C header of version 00, or None: what a sender writes there is not to be relied on."""
    parts = (said or "").split("-")
    lengths = [len(part) for part in parts]
    is_hex = all(part and set(part) <= set("0123456789abcdef") for part in parts)
    return said if lengths == [2, 32, 16, 2] and is_hex and set(parts[1]) != {"0"} else None
