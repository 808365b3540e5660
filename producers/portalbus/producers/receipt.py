"""What `publish()` hands back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict


class About(TypedDict, total=False):
    """What may be said about an event beside its payload."""

    event_id: str | None
    occurred_at: datetime | None
    correlation_id: str | None
    causation_id: str | None
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """One event is durable in the outbox: its id, its place in its source, and the aggregate it belongs to."""

    event_id: str
    sequence: int
    epoch: int
    key: str
