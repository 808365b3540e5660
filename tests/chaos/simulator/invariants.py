"""What must hold after every step, and what must hold once the faults have stopped.

The fold here is a model of its own: it takes accepted events one by one, and knows nothing of dockets and histories.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from portalbus.schemas.models import DirectiveAction, DirectivePublished, FeedbackReceived, VerdictStatus
from portalbus.schemas.topics import RELAY_POSITION, lane_of
from portalbus.streams.judgement.docket import Entry
from simulator.reading import decode
from simulator.relays import read_position
from simulator.store import Place, Store

if TYPE_CHECKING:
    from simulator.parts import Parts as World


class Violation(Exception):
    """A promise was broken."""


def demand(holds: object, *what: object) -> None:
    """Raises Violation unless it holds."""
    if not holds:
        raise Violation(" ".join(map(str, what)))


@dataclass
class Watch:
    """Looks at what each step has added; keeps what it needs to know to look at the next one."""

    judged: int = 0
    final: dict[Place, str] = field(default_factory=dict)
    accepted: dict[tuple[str, str], Place] = field(default_factory=dict)
    newest: dict[str, tuple[int, int]] = field(default_factory=dict)
    waited: set[Place] = field(default_factory=set)
    directives: dict[str, tuple[int, bool]] = field(default_factory=dict)
    cases: dict[str, bool] = field(default_factory=dict)
    _seen: tuple[int, ...] = ()

    def look(self, world: World) -> None:
        """Raises Violation when the last step broke something."""
        store = world.store
        state = (len(store.order), store.next_position, world.broker.committed, *store.next_offset.values())
        if state == self._seen:  # most steps change nothing at the centre
            return
        self._seen = state
        self._look_at_ledger(store)
        self._look_at_lanes(world)
        demand(read_position(world.broker) <= len(world.store.order), "the relay leads the ledger")

    def _look_at_ledger(self, store: Store) -> None:
        demand(store.next_position == len(store.order) + 1, "positions have a hole")
        for what, _ in store.order[self.judged :]:
            if isinstance(what, Entry):
                self._look_at_entry(what, store)
        self.judged = len(store.order)

    def _look_at_entry(self, entry: Entry, store: Store) -> None:
        place = (entry.agency, entry.lane_offset)
        demand(place not in self.final, place, "was judged again after", self.final.get(place))
        demand(entry.lane_offset < store.next_offset[entry.agency], place, "was judged, and its lane stands before it")
        if entry.decision.final:
            self.final[place] = entry.decision.rule
        elif not entry.decision.rule.startswith("source."):
            self.waited.add(place)
        if entry.decision.status is VerdictStatus.ACCEPTED and entry.envelope is not None:
            self._look_at_accepted(entry, place, store)

    def _look_at_accepted(self, entry: Entry, place: Place, store: Store) -> None:
        head = entry.envelope
        assert head is not None and entry.canonical is not None
        name = (entry.agency, head.id)
        demand(name not in self.accepted, name, "took effect at", self.accepted.get(name), "and again at", place)
        self.accepted[name] = place
        source, here = f"{entry.agency}/{head.portal}", (head.epoch, head.sequence)
        if place not in self.waited and not self._came_late(entry, store):
            demand(here > self.newest.get(source, (0, 0)), source, here, "took effect after", self.newest.get(source))
            self.newest[source] = here
        self._fold(entry)
        self._compare(entry.key or "", store)

    def _came_late(self, entry: Entry, store: Store) -> bool:
        head = entry.envelope
        assert head is not None
        return any(
            gap[:3] == (entry.agency, head.portal, head.epoch) and gap[3] <= head.sequence <= gap[4]
            for gap in store.gaps_seen
        )

    def _fold(self, entry: Entry) -> None:
        payload: Any = decode(entry.canonical or b"").event.payload
        key = entry.key or ""
        if isinstance(payload, DirectivePublished):
            version, withdrawn = self.directives.get(key, (0, False))
            demand(payload.version == version + 1 and not withdrawn, key, payload.version, "follows", version)
            self.directives[key] = (payload.version, payload.action is DirectiveAction.WITHDRAW)
        elif isinstance(payload, FeedbackReceived):
            demand(key not in self.cases, key, "was received twice")
            self.cases[key] = False
        else:
            demand(self.cases.get(key) is False, key, "was answered", "twice" if key in self.cases else "first")
            self.cases[key] = True

    def _compare(self, key: str, store: Store) -> None:
        """The store may be ahead of the fold within one transaction, never behind it."""
        directive, case = store.directives.get(key), store.cases.get(key)
        if key in self.directives:
            demand(directive and directive.version >= self.directives[key][0], key, "is behind in the store")
        else:
            demand(case is not None and case.is_resolved >= self.cases[key], key, "is behind in the store")

    def _look_at_lanes(self, world: World) -> None:
        for agency, offset in world.store.next_offset.items():
            end = len(world.broker.lanes.get(lane_of(agency), []))
            demand(offset <= end, "the ledger is at", offset, "of", agency, "which ends at", end)

    def end(self, store: Store) -> None:
        """When everything is at rest, the store is the fold of what was accepted."""
        found = {key: (state.version, state.withdrawn) for key, state in store.directives.items()}
        demand(found == self.directives, "directives differ from the fold")
        cases = {key: case.is_resolved for key, case in store.cases.items()}
        demand(cases == self.cases, "cases differ from the fold")
        open_records = {(e.agency, e.lane_offset) for e in store.events.values() if not e.decision.final}
        seats, parked = set(store.waiting), set(store.parked)
        demand(open_records == seats | parked, "open verdicts without a seat:", open_records ^ (seats | parked))


__all__ = ["RELAY_POSITION", "Violation", "Watch", "demand"]
