"""What must hold after every step, and what must hold once the faults have stopped.

The fold here is a model of its own: it takes accepted events one by one, and knows nothing of dockets and histories.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from portalbus.schemas.facts import MAX_AHEAD
from portalbus.schemas.models import DirectiveAction, DirectivePublished, FeedbackReceived, VerdictStatus
from portalbus.schemas.topics import RELAY_POSITION, lane_of
from portalbus.streams.judgement.bounds import Bounds
from portalbus.streams.judgement.docket import Entry
from simulator.reading import decode
from simulator.relays import read_position
from simulator.store import Place, Store
from simulator.workers import HOLD

if TYPE_CHECKING:
    from simulator.parts import Parts as World


class Violation(Exception):
    """A promise was broken."""


def demand(holds: object, *what: object) -> None:
    """Raises Violation unless it holds."""
    if not holds:
        raise Violation(" ".join(map(str, what)))


WAIT = Bounds().wait
EXCUSING = frozenset({"broker-clock", "backup-restored"})
"""After these what lies in a gap may take effect in any order: lane time jumps, or places are used again."""


def _cause_of(value: bytes) -> tuple[str, int]:
    event = decode(value).event
    return event.key, event.payload.version - 1 if isinstance(event.payload, DirectivePublished) else 0


@dataclass
class Watch:
    """Looks at what each step has added; keeps what it needs to know to look at the next one."""

    judged: int = 0
    final: dict[Place, str] = field(default_factory=dict)
    accepted: dict[tuple[str, str], Place] = field(default_factory=dict)
    newest: dict[str, tuple[int, int]] = field(default_factory=dict)
    waited: set[Place] = field(default_factory=set)
    timed_up: dict[Place, tuple[Entry, tuple[str, int]]] = field(default_factory=dict)
    """What was refused because its cause did not come in time, and that cause."""
    ahead: set[str] = field(default_factory=set)
    """Keys of which an event was refused, because the clock of its portal was more than a day ahead."""
    caused: dict[tuple[str, int], datetime] = field(default_factory=dict)
    """When each receipt (0) and version came, of those that waited for nothing themselves.

    What a broker's clock stamped that was too far behind is not among them: its lane was heard beyond that already.
    """
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
        self._look_at_ledger(world)
        self._look_at_lanes(world)
        demand(read_position(world.broker) <= len(world.store.order), "the relay leads the ledger")

    def _look_at_ledger(self, world: World) -> None:
        store = world.store
        demand(store.next_position == len(store.order) + 1, "positions have a hole")
        for what, _ in store.order[self.judged :]:
            if isinstance(what, Entry):
                self._look_at_entry(what, world)
        self.judged = len(store.order)

    def _look_at_entry(self, entry: Entry, world: World) -> None:
        store, place = world.store, (entry.agency, entry.lane_offset)
        demand(place not in self.final, place, "was judged again after", self.final.get(place))
        demand(entry.lane_offset < store.next_offset[entry.agency], place, "was judged, and its lane stands before it")
        if entry.decision.final:
            self.final[place] = entry.decision.rule
            if entry.decision.rule == "waiting.time-up":
                record = world.broker.lanes[lane_of(entry.agency)][entry.lane_offset]
                self.timed_up[place] = entry, _cause_of(record.value or b"")
        elif not entry.decision.rule.startswith("source."):
            self.waited.add(place)
        if entry.envelope is not None:
            self._look_at_clock(entry, place)
            if entry.decision.status is VerdictStatus.ACCEPTED:
                self._look_at_accepted(entry, place, world)

    def _look_at_clock(self, entry: Entry, place: Place) -> None:
        """A portal's clock decides one thing: what it says of a day after the broker's is refused."""
        head = entry.envelope
        assert head is not None
        ahead = head.occurred_at > entry.received_at + MAX_AHEAD
        if entry.decision.rule == "time.implausible":
            demand(ahead, place, "was refused for its time", head.occurred_at)
            self.ahead.add(entry.key or "")
        elif entry.decision.status is VerdictStatus.ACCEPTED:
            demand(not ahead, place, "was accepted with the time", head.occurred_at)

    def _look_at_accepted(self, entry: Entry, place: Place, world: World) -> None:
        head = entry.envelope
        assert head is not None and entry.canonical is not None
        name = (entry.agency, head.id)
        demand(name not in self.accepted, name, "took effect at", self.accepted.get(name), "and again at", place)
        self.accepted[name] = place
        source, here = f"{entry.agency}/{head.portal}", (head.epoch, head.sequence)
        if place not in self.waited and place not in world.broker.stamped_behind:
            self._note_cause(entry)
        if place not in self.waited and not self._came_late(entry, world):
            demand(here > self.newest.get(source, (0, 0)), source, here, "took effect after", self.newest.get(source))
            self.newest[source] = here
        self._fold(entry)
        self._compare(entry.key or "", world.store)

    def _came_late(self, entry: Entry, world: World) -> bool:
        """An event that was missed has its place only as long as others are held for it."""
        head = entry.envelope
        assert head is not None
        opened = [
            opened_at
            for gap, opened_at in world.store.gaps_seen.items()
            if gap[:3] == (entry.agency, head.portal, head.epoch) and gap[3] <= head.sequence <= gap[4]
        ]
        if world.faults_ever & EXCUSING or None in opened:
            return bool(opened)
        return any(entry.received_at > opened_at + HOLD for opened_at in opened if opened_at)

    def _note_cause(self, entry: Entry) -> None:
        payload: Any = decode(entry.canonical or b"").event.payload
        if isinstance(payload, DirectivePublished | FeedbackReceived):
            number = payload.version if isinstance(payload, DirectivePublished) else 0
            self.caused[entry.key or "", number] = entry.received_at

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
        for place, (entry, cause) in self.timed_up.items():
            came_at = self.caused.get(cause)
            demand(came_at is None or came_at > entry.received_at + WAIT, place, "was refused, its cause came", came_at)
        found = {key: (state.version, state.withdrawn) for key, state in store.directives.items()}
        demand(found == self.directives, "directives differ from the fold")
        cases = {key: case.is_resolved for key, case in store.cases.items()}
        demand(cases == self.cases, "cases differ from the fold")
        open_records = {(e.agency, e.lane_offset) for e in store.events.values() if not e.decision.final}
        seats, parked = set(store.waiting), set(store.parked)
        demand(open_records == seats | parked, "open verdicts without a seat:", open_records ^ (seats | parked))


__all__ = ["RELAY_POSITION", "Violation", "Watch", "demand"]
