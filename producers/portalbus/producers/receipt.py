"""What `publish()` hands back."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Receipt:
    """One event is durable in the outbox: its id, its place in its source, and the aggregate it belongs to."""

    event_id: str
    sequence: int
    epoch: int
    key: str
