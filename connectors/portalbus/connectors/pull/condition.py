"""How a source is doing, from its memory alone: nothing is read from the source itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from portalbus.connectors.pull.entry import Entry
from portalbus.connectors.pull.remembered import State
from portalbus.schemas.errors import PortalbusError

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Condition:
    """One source as it was left by its last pass; `troubles` are sentences for people."""

    entry: str
    kind: str
    read_at: datetime | None = None
    due_at: datetime | None = None
    standing: int = 0
    withdrawn: int = 0
    refused: int = 0
    missing: int = 0
    pending: int = 0
    failures: int = 0
    failure: str = ""
    alert: str = ""
    troubles: tuple[str, ...] = ()

    @property
    def is_well(self) -> bool:
        """Whether it can be read, and no alert is raised."""
        return not self.failures and not self.alert


def condition(entry: Entry) -> Condition:
    """The condition of a source. Raises nothing: a memory that cannot be read is a trouble."""
    try:
        memory, standing = entry.memory.load()
        pending = len(entry.memory.pending(100_000))
    except PortalbusError as error:
        return Condition(entry.name, entry.config.kind, failures=1, failure=str(error), troubles=(str(error),))
    states = Counter(item.state for item in memory.items.values())
    refused = [item for item in memory.items.values() if item.refusals]
    troubles = [f"failed {standing.failures} times: {standing.failure}"] if standing.failures else []
    if memory.alert is not None:
        troubles.append(f"{memory.alert.rule} since {memory.alert.since:%Y-%m-%d %H:%M}Z: {memory.alert.text}")
    troubles += [f"refused {item.id[:100]}: {item.refusals[0]}" for item in refused[:SHOWN]]
    return Condition(
        entry.name,
        entry.config.kind,
        standing.read_at,
        standing.due_at,
        states[State.STANDING],
        states[State.WITHDRAWN],
        len(refused),
        sum(1 for item in memory.items.values() if item.missing),
        pending,
        standing.failures,
        standing.failure,
        memory.alert.rule if memory.alert else "",
        tuple(troubles),
    )
