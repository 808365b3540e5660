"""How far the clock of this machine is off, judged by the broker's, which stamps everything that is sent to it."""

from __future__ import annotations

import time
from collections import deque

REMEMBERED = 8
"""So many stamps are remembered: the soonest answer tells most, and must not be older than a correction for long."""

CLOCK_BOUND_MS = 120_000


class BrokerClock:
    """Learns from the broker's answers. An answer can be late and never early: the soonest of the last ones counts."""

    def __init__(self) -> None:
        self._leads: deque[int] = deque(maxlen=REMEMBERED)

    def wrote(self, stamp_ms: int) -> None:
        """The broker has just said when, by its clock, it wrote a record."""
        self._leads.append(round(time.time() * 1000) - stamp_ms)

    def warning(self) -> str | None:
        """What is wrong with this machine's clock, in one sentence; None when nothing is known to be."""
        if len(self._leads) < REMEMBERED:
            return None
        lead = min(self._leads)
        if abs(lead) <= CLOCK_BOUND_MS:
            return None
        way = "ahead of" if lead > 0 else "behind"
        return (
            f"the clock of this machine is {_in_words(abs(lead) // 1000)} {way} the broker's: nothing is ordered by it,"
            " but its times stand in the events, and one that is a day ahead is refused. Let it follow a time server"
            " (NTP)"
        )


def _in_words(seconds: int) -> str:
    for name, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size:
            count = round(seconds / size)
            return f"{count} {name}{'s' if count > 1 else ''}"
    return f"{seconds} seconds"
