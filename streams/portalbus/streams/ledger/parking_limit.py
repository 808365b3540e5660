"""The parking limit: after a bad deployment the worker stops, instead of parking what the whole country says.

A bad decoder, rule or schema shows on many lanes at once; a portal that sends garbage shows on its own. So each lane
counts with its newest few records only, and nothing happens unless enough lanes are hit: whatever one portal or one
agency sends, it stops nobody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import nlargest
from math import ceil
from typing import NamedTuple

LANES_HIT = 1 / 3
"""Of the lanes that were heard of late, so many have to be hit."""


@dataclass(frozen=True, slots=True)
class ParkingLimit:
    """When to stop: more than `share` of the newest `window` records parked, at least `parked` of them, on at least
    `lanes` lanes. A lane counts with its newest `per_lane` records; a `share` of 1 or more never stops anybody.
    """

    share: float = 0.2
    parked: int = 50
    lanes: int = 3
    window: int = 200
    per_lane: int = 20

    @property
    def on(self) -> bool:
        """False when nothing is ever over the limit."""
        return self.share < 1


class Sample(NamedTuple):
    """One judged record: where it lies, where it stands in the ledger, and whether it is parked."""

    agency: str
    lane_offset: int
    position: int
    parked: bool


@dataclass(frozen=True, slots=True)
class Excess:
    """How many of the newest records are parked, and on how many lanes."""

    parked: int
    judged: int
    lanes: int


class ParkingStopped(Exception):
    """Too large a share of the newest records cannot be read: nothing of this transaction was taken in."""

    def __init__(self, excess: Excess) -> None:
        self.excess = excess
        super().__init__(
            f"{excess.parked} of the newest {excess.judged} records, on {excess.lanes} lanes, cannot be read: "
            "a bad deployment looks like this. Put the one before back, or let them be parked with "
            "`portalbus parked allow --why …`"
        )


def excess(samples: Iterable[Sample], limit: ParkingLimit) -> Excess | None:
    """What is over the limit; None when nothing is."""
    by_lane: dict[str, list[Sample]] = {}
    for sample in samples:
        by_lane.setdefault(sample.agency, []).append(sample)
    newest = (
        sample for lane in by_lane.values() for sample in nlargest(limit.per_lane, lane, key=lambda item: item[1])
    )
    window = nlargest(limit.window, newest, key=lambda sample: sample.position)
    judged = Counter(sample.agency for sample in window)
    parked = Counter(sample.agency for sample in window if sample.parked)
    hit = sum(parked[lane] > limit.share * judged[lane] for lane in judged)
    over = (
        limit.on
        and parked.total() >= limit.parked
        and parked.total() > limit.share * len(window)
        and hit >= max(limit.lanes, ceil(len(judged) * LANES_HIT))
    )
    return Excess(parked.total(), len(window), hit) if over else None
