"""Putting what several partitions hold into the one order of the ledger. Pure: it is told what was read, and when.

The relay writes in ledger order, a transaction at a time. So when a position has been seen, everything below it is
readable already: it only may not have been read yet. An event is given out when each partition has either something
later in hand, or was read to where it ended *after* that event had been read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar


class Positioned(Protocol):
    """What stands somewhere in the ledger's order."""

    @property
    def position(self) -> int:
        """Its ledger position; grows within a partition."""


Item = TypeVar("Item", bound=Positioned)
Part = TypeVar("Part", bound=Hashable)


@dataclass
class _Lane(Generic[Item]):
    """One partition: what was read and not given out, how far it was read, and where it ended when that was asked."""

    held: deque[Item] = field(default_factory=deque)
    read_to: int = 0
    end: int | None = None


class LedgerOrder(Generic[Part, Item]):
    """A merge of partitions. `starts` says from which offset each is read."""

    def __init__(self, starts: Mapping[Part, int]) -> None:
        self._lanes: dict[Part, _Lane[Item]] = {part: _Lane(read_to=start) for part, start in starts.items()}
        self._bound = 0

    def read(self, part: Part, item: Item, next_offset: int) -> None:
        """A record was read."""
        lane = self._lanes[part]
        lane.held.append(item)
        lane.read_to = next_offset

    def read_to(self, part: Part, offset: int) -> None:
        """The partition was read up to this offset: its end, or past records that are not for us."""
        lane = self._lanes[part]
        lane.read_to = max(lane.read_to, offset)

    def ends_are(self, ends: Mapping[Part, int]) -> None:
        """The partitions end at these offsets, asked after everything in hand had been read."""
        for part, end in ends.items():
            self._lanes[part].end = end
        self._bound = max((lane.held[-1].position for lane in self._lanes.values() if lane.held), default=0)

    @property
    def parts(self) -> list[Part]:
        """The partitions."""
        return list(self._lanes)

    def place_of(self, part: Part) -> int:
        """How far a partition was read."""
        return self._lanes[part].read_to

    @property
    def held(self) -> int:
        """How many records are in hand."""
        return sum(len(lane.held) for lane in self._lanes.values())

    def full(self, most: int) -> list[Part]:
        """The partitions of which `most` or more records are in hand: reading on would only fill the memory."""
        return [part for part, lane in self._lanes.items() if len(lane.held) >= most]

    @property
    def asks_for_ends(self) -> bool:
        """True when something is in hand that came after the ends were asked for."""
        return any(lane.held and lane.held[-1].position > self._bound for lane in self._lanes.values())

    def give_out(self, most: int) -> Iterable[tuple[Part, Item]]:
        """The next items in ledger order, at most so many."""
        for _ in range(most):
            if any(not lane.held and (lane.end is None or lane.read_to < lane.end) for lane in self._lanes.values()):
                return
            full = [(lane.held[0].position, part) for part, lane in self._lanes.items() if lane.held]
            if not full:
                return
            position, part = min(full, key=lambda found: found[0])
            if position > self._bound:
                return
            yield part, self._lanes[part].held.popleft()
