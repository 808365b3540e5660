"""How often something is usually heard, learned from its own gaps; and how long a silence has to be to mean something.

Pure. Gaps are counted in working time, so that nights, weekends and Tết are no silence. They are kept as a histogram
with bins of 9 %, forgotten by half in 60 working days (or in eight gaps, whichever is longer: a source that publishes
once a month keeps a memory). A handful of numbers per source and event type, however long it speaks.

The bound comes from the long gaps alone: the dozen longest remembered, of those within a quarter of the longest. Above
a threshold `u` just below them the excess is taken as exponential with an unknown mean, and the bound is where the
Bayesian prediction expects `p` gaps in a memory to lie beyond: `u + S((m/p)^(1/m) - 1)`, for `m` gaps above `u` that
exceed it by `S` in sum. Bursts do not matter, because they add short gaps; a regular source gets a tight bound, because
its long gaps are alike; few data give a wide one by themselves. A silence is no alarm before it is a third longer than
the longest gap remembered, and nobody is judged in the first two weeks. ADR 0014 has the figures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from portalbus.schemas.working_time import DAY_SECONDS

SHORTEST_GAP = 60
BINS_PER_DOUBLING = 8
HALF_LIFE = 60 * DAY_SECONDS
FORGET_AT_MOST = 0.5 ** (1 / 8)
"""What a gap leaves of the memory at least, however long it was."""
FORGET_EVERY = 1_800
TAIL_GAPS = 12.0
TAIL_BINS = 2 * BINS_PER_DOUBLING
"""What is shorter than a quarter of the longest gap is of another kind, such as the gaps within a burst."""
FEWEST_GAPS = 2.5
"""Three gaps, of which some is forgotten already."""
EXPERIENCE = 10 * DAY_SECONDS
"""Working time between the first and the last hearing before anything can be said: a weekly habit shows twice."""
MARGIN = 4 / 3
PARDON = 0.5
FORGOTTEN = 1e-3


class State(StrEnum):
    """How a silence compares with the cadence, in rising order."""

    OK = "ok"
    QUIET = "quiet"
    LATE = "late"
    SILENT = "silent"

    @property
    def severity(self) -> int:
        """0 for ok to 3 for silent."""
        return list(State).index(self)


EXPECTED_BEYOND = {State.QUIET: 3.0, State.LATE: 0.5, State.SILENT: 0.06}
"""How many gaps of a memory (about four months) are expected to be longer than the bound of each state."""


@dataclass(frozen=True, slots=True)
class Floors:
    """Silences that mean nothing, however often something is heard; seconds of working time."""

    quiet: float = 1_800
    late: float = 3_600
    silent: float = 7_200

    def of(self, state: State) -> float:
        """The floor of a state's bound."""
        return {State.QUIET: self.quiet, State.LATE: self.late, State.SILENT: self.silent}[state]


FLOORS = Floors()


@dataclass(slots=True)
class Cadence:
    """The remembered gaps by bin, how many outages there were, and how long it has been listened to.

    Times are seconds of working time; `passed` is the time since it last forgot.
    """

    gaps: dict[int, float] = field(default_factory=dict)
    outages: float = 0.0
    passed: float = 0.0
    experience: float = 0.0

    def learn(self, gap: float, floors: Floors = FLOORS) -> None:
        """Takes in one gap between two events.

        One outage a memory is pardoned: a gap beyond the bound is not learned, or the next outage would have to be
        longer still to be noticed. A second one is a new habit.
        """
        silent = self.bound(State.SILENT, floors) if gap > floors.silent else None
        self._forget(gap)
        if silent is not None and gap > silent:
            pardoned = self.outages < PARDON
            self.outages += 1
            if pardoned:
                return
        place = bin_of(gap)
        self.gaps[place] = self.gaps.get(place, 0.0) + 1

    def bound(self, state: State, floors: Floors = FLOORS) -> float | None:
        """The silence from which on `state` holds; None while too few gaps are known."""
        tail = self._tail()
        if tail is None:
            return None
        threshold, count, excess, longest = tail
        beyond = excess * (math.pow(count / EXPECTED_BEYOND[state], 1 / count) - 1)
        least = longest * MARGIN if state is State.SILENT else 0.0
        return max(threshold + beyond, least, floors.of(state))

    def state(self, silence: float, floors: Floors = FLOORS) -> State:
        """What a silence of so many seconds of working time means; `ok` while the cadence is not known."""
        for state in (State.SILENT, State.LATE, State.QUIET):
            bound = self.bound(state, floors)
            if bound is not None and silence > bound:
                return state
        return State.OK

    @property
    def known(self) -> bool:
        """True when there are enough gaps to judge by."""
        return self._tail() is not None

    def usual_gap(self) -> float | None:
        """The median of the remembered gaps, for people to read; None while there is none."""
        half, passed = sum(self.gaps.values()) / 2, 0.0
        for place in sorted(self.gaps):
            passed += self.gaps[place]
            if passed >= half:
                return middle_of(place)
        return None

    def as_json(self) -> dict[str, object]:
        """What is stored."""
        gaps = {str(place): round(weight, 4) for place, weight in sorted(self.gaps.items())}
        return {
            "gaps": gaps,
            "outages": round(self.outages, 4),
            "passed": self.passed,
            "experience": min(self.experience, EXPERIENCE),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Cadence:
        """What was stored."""
        gaps = {int(place): float(weight) for place, weight in stored.get("gaps", {}).items()}
        rest = (float(stored.get(name, 0.0)) for name in ("outages", "passed", "experience"))
        return cls(gaps, *rest)

    def _forget(self, gap: float) -> None:
        self.experience += gap
        self.passed += gap
        if self.passed < FORGET_EVERY:
            return
        kept = max(0.5 ** (self.passed / HALF_LIFE), FORGET_AT_MOST)
        self.passed = 0.0
        self.outages *= kept
        self.gaps = {place: left for place, weight in self.gaps.items() if (left := weight * kept) > FORGOTTEN}

    def _tail(self) -> tuple[float, float, float, float] | None:
        """Threshold, number of gaps above it, the sum of what they exceed it by, and the longest of them."""
        if self.experience < EXPERIENCE:
            return None
        count, places, longest = 0.0, list[int](), 0
        for place in sorted(self.gaps, reverse=True):
            if count >= TAIL_GAPS or (count >= FEWEST_GAPS and place < longest - TAIL_BINS):
                break
            if count < 1:
                longest = place  # what is half forgotten does not stand for a whole gap
            places.append(place)
            count += self.gaps[place]
        if count < FEWEST_GAPS:
            return None
        threshold = lower_edge_of(places[-1])
        excess = sum((middle_of(place) - threshold) * self.gaps[place] for place in places)
        return threshold, count, excess, middle_of(longest)


def bin_of(gap: float) -> int:
    """The bin of a gap: 0 for anything under a minute, then eight a doubling."""
    return 0 if gap < SHORTEST_GAP else 1 + math.floor(math.log2(gap / SHORTEST_GAP) * BINS_PER_DOUBLING)


def lower_edge_of(place: int) -> float:
    """The shortest gap of a bin."""
    return 0.0 if place == 0 else SHORTEST_GAP * 2.0 ** ((place - 1) / BINS_PER_DOUBLING)


def middle_of(place: int) -> float:
    """The gap that stands for a bin."""
    return SHORTEST_GAP / 2 if place == 0 else lower_edge_of(place) * 2.0 ** (0.5 / BINS_PER_DOUBLING)
