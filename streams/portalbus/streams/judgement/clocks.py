"""How far the clock of a source is off, judged by the broker's. Pure; nothing is ordered by a sender's clock.

A heartbeat is stamped when it is sent. On its way it can be late and never early, so of the last few heartbeats the one
that arrived soonest tells most: what it is ahead of lane time, the clock is ahead, less a delay that is nearly nothing.
An event is stamped when it is published, which may be hours before a portal can deliver it. So an event that came
late says nothing; one that came before it was published shows a clock that is ahead, whoever delayed it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

REMEMBERED = 8
"""So many heartbeats are remembered: their soonest must not be older than the clock's last correction for long."""

CLOCK_BOUND = timedelta(minutes=2)


class ClockState(StrEnum):
    """What is known of a source's clock."""

    RIGHT = "right"
    AHEAD = "ahead"
    BEHIND = "behind"
    UNKNOWN = "unknown"


class ClockReading(NamedTuple):
    """The state of a clock, and by how many milliseconds it is ahead; None when that is not known."""

    state: ClockState
    ahead_ms: int | None


def lead_ms(stamped_at: datetime, received_at: datetime) -> int:
    """By how many milliseconds a stamp is ahead of the lane time of what carries it."""
    return round((stamped_at - received_at).total_seconds() * 1000)


def remember(leads: Sequence[int], lead: int) -> tuple[int, ...]:
    """The last leads with one more, the oldest forgotten."""
    return (*leads, lead)[-REMEMBERED:]


def read_clock(heartbeat_leads: Sequence[int], newest_event_lead: int, bound: timedelta = CLOCK_BOUND) -> ClockReading:
    """What the remembered heartbeats say, or where there are none, what the newest event does."""
    limit = bound // timedelta(milliseconds=1)
    if not heartbeat_leads:
        ahead = newest_event_lead > limit
        return ClockReading(ClockState.AHEAD, newest_event_lead) if ahead else ClockReading(ClockState.UNKNOWN, None)
    soonest = max(heartbeat_leads)
    if abs(soonest) <= limit:
        return ClockReading(ClockState.RIGHT, soonest)
    return ClockReading(ClockState.AHEAD if soonest > 0 else ClockState.BEHIND, soonest)
