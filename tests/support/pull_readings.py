"""Sources of pull connectors read without the engine: what a pass finds, and a memory as small as a kind needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from portalbus.connectors.pull.comparing import Outcome
from portalbus.connectors.pull.found import Before, FoundItem, Known, Listing, Reading, Remark
from portalbus.connectors.pull.kind import Source, Surroundings
from portalbus.connectors.pull.remembered import Memory


def surroundings(clock: Callable[[], datetime] | None = None, web: Callable[[], Any] | None = None) -> Surroundings:
    """The real time and secrets as they are written; no web unless given."""

    def no_web() -> Any:
        raise AssertionError("this kind does not use the web")

    return Surroundings(clock or (lambda: datetime.now(UTC)), web or no_web, lambda secret: secret)


@dataclass
class Pass:
    """Everything that one pass over a source found."""

    readings: list[Reading]

    @property
    def items(self) -> list[FoundItem]:
        """The items that were read, in order."""
        return [item for reading in self.readings for item in reading.items]

    @property
    def listing(self) -> Listing:
        """How much the last reading lists."""
        return self.readings[-1].listing

    @property
    def ids(self) -> frozenset[str]:
        """Everything that stands there."""
        return frozenset[str]().union(*(reading.ids for reading in self.readings))

    @property
    def remarks(self) -> list[Remark]:
        """All remarks."""
        return [remark for reading in self.readings for remark in reading.remarks]


@dataclass
class Remembering:
    """Passes over one source, each given what the ones before it left."""

    open: Callable[[], Source]
    cursor: dict[str, Any] = field(default_factory=dict)
    known: dict[str, Known] = field(default_factory=dict)

    def read(self, *, settle: bool = True) -> Pass:
        """One pass; `settle=False` is a crash right after everything was remembered."""
        source = self.open()
        readings = []
        try:
            while True:
                reading = source.read(Before(self.cursor, self.known))
                readings.append(reading)
                now = datetime.now(UTC)
                self.cursor = dict(reading.cursor)
                self.known |= {item.id: Known(item.id, item.url, item.mark, now, item.data) for item in reading.items}
                if settle:
                    source.settled(reading, Outcome(Memory()))
                if not reading.more:
                    return Pass(readings)
        finally:
            source.close()
