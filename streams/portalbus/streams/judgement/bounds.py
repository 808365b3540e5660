"""What is bounded while events are judged, and by how much."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from portalbus.schemas.law.limits import Limits, limits
from portalbus.streams.judgement.case_state import REVIEW
from portalbus.streams.judgement.holding import Room


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long an event may wait for its cause (lane time), and how many of one agency may wait for one key.

    And how long a parked record holds its key, and how many undecided ones may hold the same one. And how long the
    events of a source are held behind a gap in its order (zero: not at all), how many, and how many bytes of them. And
    how many bytes of events that waited are taken up again in one step, if there is more than one thing to begin with.
    And how long after an answer the centre may return it (lane time; zero: not at all). And the dated `limits` that no
    law gives.
    """

    wait: timedelta = timedelta(days=7)
    waiting_per_key: int = 100
    parked_hold: timedelta = timedelta(hours=1)
    parked_per_key: int = 10
    gap_hold: timedelta = timedelta(seconds=25)
    held_per_source: int = 1_000
    held_bytes_per_source: int = 2 << 20
    bytes_at_once: int = 4 << 20
    review: timedelta = REVIEW
    limits: Limits = field(default_factory=limits)

    @property
    def room(self) -> Room:
        """How much of one source is held at most."""
        return Room(self.held_per_source, self.held_bytes_per_source)
