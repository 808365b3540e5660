"""How far each of the worker's lanes is: what the ledger has, and where the lane ends."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


class LanePosition(NamedTuple):
    """A lane's next offset in the ledger and its end in Kafka, both as last seen."""

    next_offset: int
    end: int

    @property
    def lag(self) -> int:
        """Number of records not yet in the ledger."""
        return max(0, self.end - self.next_offset)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of all lanes of this worker at one moment."""

    lanes: Mapping[str, LanePosition]
    commits: int
    """Grows with every commit."""
    excuses: int
    """Grows whenever somebody says that it is well although nothing moves."""
    loop_beats: int
    """Grows while the event loop turns."""


class LaneProgress:
    """Collects the worker's progress; safe to use from any thread.

    The watchdog, the group's commits (lag displays) and the metrics all read it, so none of them can be ahead
    of the ledger.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: dict[str, int] = {}
        self._ends: dict[str, int] = {}
        self._asked: dict[str, tuple[int, datetime]] = {}
        self._commits = 0
        self._excuses = 0
        self._loop_beats = 0

    def assigned(self, positions: Mapping[str, int]) -> None:
        """Replace the worker's lanes, each with the ledger's next offset."""
        with self._lock:
            self._next = dict(positions)
            self._ends = {lane: end for lane, end in self._ends.items() if lane in positions}
            self._asked = {lane: asked for lane, asked in self._asked.items() if lane in positions}
            self._excuses += 1

    def committed(self, next_offsets: Mapping[str, int]) -> None:
        """Note that the ledger has everything before these offsets."""
        with self._lock:
            for lane, offset in next_offsets.items():
                if offset > self._next.get(lane, offset):
                    self._next[lane] = offset
            self._commits += 1

    def seen_ends(self, ends: Mapping[str, int], asked_at: datetime | None = None) -> None:
        """Note where lanes end in Kafka; `asked_at` tells when the broker was asked, where it was."""
        with self._lock:
            for lane, end in ends.items():
                if lane in self._next:
                    self._ends[lane] = end
                    if asked_at is not None:
                        self._asked[lane] = (end, asked_at)

    def heard_until(self) -> dict[str, datetime]:
        """Return, by lane, the last moment of which is known that everything before it is in the ledger."""
        with self._lock:
            return {lane: asked for lane, (end, asked) in self._asked.items() if self._next[lane] >= end}

    def is_behind(self) -> bool:
        """Return whether a lane has records that are not in the ledger, or nobody has asked yet where it ends."""
        with self._lock:
            return any(lane not in self._asked or self._asked[lane][0] > offset for lane, offset in self._next.items())

    def alive(self) -> None:
        """Say that all is well although nothing moves, as while a database or a broker is away."""
        with self._lock:
            self._excuses += 1

    def loop_beat(self) -> None:
        """Say that the event loop turns."""
        with self._lock:
            self._loop_beats += 1

    def next_offsets(self) -> dict[str, int]:
        """Return each lane's next offset in the ledger."""
        with self._lock:
            return dict(self._next)

    def lanes(self) -> Iterable[str]:
        """Return the worker's lanes."""
        with self._lock:
            return tuple(self._next)

    def snapshot(self) -> Snapshot:
        """Return a consistent copy of everything."""
        with self._lock:
            lanes = {lane: LanePosition(offset, self._ends.get(lane, offset)) for lane, offset in self._next.items()}
            return Snapshot(lanes, self._commits, self._excuses, self._loop_beats)
