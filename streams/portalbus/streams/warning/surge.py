"""Whether feedback comes faster than it usually does: a sum of evidence over time (CUSUM) for each series.

Each feedback speaks for a surge, and each moment without one against it, by how much more likely a surge of three or of
eight times the usual makes it. The sum never falls below nothing, so that it knows of no yesterday; by Wald's bound it
passes a height h by chance once in e^h feedbacks at most. So the height follows from how many false alarms are wanted.
Large surges are found in minutes, and small series by patience, with one rule and no window to choose.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log
from typing import NamedTuple, Protocol

TIMES = (3.0, 8.0)
"""Surges looked for, in times the usual: what lies between and above is found as well."""
LEAST = 6
"""Feedbacks that a surge has at least."""
FALSE_A_WEEK = 16.0
"""False alarms a week in the country that Wald's bound allows. It is far from tight: about a fiftieth of them come."""
CEILING = 1.5
"""The sum is not let higher than so many heights, so that it comes down when a surge is over."""
LEAST_HEIGHT = 7.0


class Usual(Protocol):
    """What is usual for one series."""

    margin: float
    noise: float

    def upto(self, minute: int) -> float:
        """Feedbacks that are usual from some beginning up to a minute (since 1970, UTC)."""


def height(weekly: float) -> float:
    """How high the sum has to be for an alarm, where so many feedbacks a week come in the country."""
    return max(LEAST_HEIGHT, log(max(weekly, 1.0) * len(TIMES) / FALSE_A_WEEK))


class Evidence(NamedTuple):
    """What speaks for a surge: `observed` feedbacks since minute `since`, where `expected` are usual."""

    score: float
    since: int
    observed: int
    expected: float

    @property
    def times(self) -> float:
        """How many times the usual."""
        return self.observed / max(self.expected, 0.1)


NOTHING = Evidence(0.0, 0, 0, 0.0)


@dataclass(slots=True)
class _Sum:
    score: float = 0.0
    since: int = 0
    seen: int = 0


@dataclass(slots=True)
class Counter:
    """The feedbacks of one series in the last days, by minute, and the sums over them."""

    minutes: dict[int, int] = field(default_factory=dict)
    fresh: dict[int, int] = field(default_factory=dict)
    """What came since it was judged last."""
    upto: int = 0
    sums: tuple[_Sum, ...] = field(default_factory=lambda: tuple(_Sum() for _ in TIMES))
    late: bool = False

    def add(self, minute: int) -> None:
        """Counts one feedback. One that comes late is put where it belongs, and the sums are made anew."""
        self.minutes[minute] = self.minutes.get(minute, 0) + 1
        self.fresh[minute] = self.fresh.get(minute, 0) + 1
        self.late |= minute < self.upto

    def forget(self, before: int) -> None:
        """Lets go of what is older than a minute."""
        self.minutes = {minute: count for minute, count in self.minutes.items() if minute >= before}

    def reset(self, minute: int) -> None:
        """Begins to sum anew at a minute."""
        self.sums = tuple(_Sum() for _ in TIMES)
        self.fresh, self.upto, self.late = {}, minute, False

    def judge(self, now: int, usual: Usual, ceiling: float) -> Evidence:
        """Sums up to a minute, that one included."""
        if self.late and self.minutes:
            begin = min(self.minutes)
            self.reset(begin)
            self.fresh = dict(self.minutes)
        before = usual.upto(self.upto)
        for minute in sorted(self.fresh):
            if minute > now:
                break
            here = usual.upto(minute + 1)
            self._add(here - before, self.fresh.pop(minute), minute, usual, ceiling)
            before, self.upto = here, minute + 1
        if now + 1 > self.upto:
            self._add(usual.upto(now + 1) - before, 0, now, usual, ceiling)
            self.upto = now + 1
        return self._evidence(usual)

    def _add(self, expected: float, count: int, minute: int, usual: Usual, ceiling: float) -> None:
        margin, noise = usual.margin, usual.noise
        for one, times in zip(self.sums, TIMES, strict=True):
            if one.score <= 0:
                one.score, one.since, one.seen = 0.0, minute, 0
            score = one.score + (count * log(times / margin) - (times - margin) * expected) / noise
            one.score, one.seen = min(score, ceiling), one.seen + count

    def _evidence(self, usual: Usual) -> Evidence:
        best = max(self.sums, key=lambda one: one.score)
        if best.score <= 0:
            return NOTHING
        return Evidence(best.score, best.since, best.seen, usual.upto(self.upto) - usual.upto(best.since))
