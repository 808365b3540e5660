"""Generated histories of several lanes, and a small model of its own that says how they end.

The model shares no code with the judge: it works on whole lanes with sets, where the judge works record by record.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any

from bus_events import Lane, answer, directive, progress, receipt, with_id_of, withdrawal
from memory_ledger import MemoryLedger
from portalbus.schemas.codec import Decoded
from portalbus.schemas.models import (
    CaseStep,
    DirectiveAction,
    DirectivePublished,
    Event,
    FeedbackProgressed,
    FeedbackReceived,
    FeedbackResolved,
    Payload,
)
from portalbus.schemas.notices import ResendRequested
from portalbus.streams.judgement.docket import Item, Unreadable, lane_time

AGENCIES = ("H26", "H29", "G22")
PORTALS = ("www", "edu")
Hole = tuple[str, str, int, int]
"""Agency, portal, epoch and number of an event that was passed over."""
ELSEWHERE = ("H31", "H32")
"""Bodies without a lane here: who has a case next says nothing of it, so no order of reading decides about it."""
CENTRE = "G22"
"""The Government's portal may pass on any case; it does not here, for then the order of reading would decide."""


@dataclass
class Past:
    """Lanes with their records, and the choices they were made from."""

    random: Random
    lanes: dict[str, Lane] = field(default_factory=dict)
    follows: dict[tuple[str, int], dict[str, int]] = field(default_factory=dict)
    """By agency and offset of a record, of how many records of each lane its sender had heard what came of them."""

    def interleaved(self, random: Random) -> list[Item]:
        """All records in some order that keeps the order of each lane, and lets nobody hear what is not yet judged."""
        read = dict.fromkeys(self.lanes, 0)
        merged: list[Item] = []
        while ready := [agency for agency in self.lanes if self._is_ready(agency, read)]:
            agency = random.choice(ready)
            merged.append(self.lanes[agency].items[read[agency]])
            read[agency] += 1
        return merged

    def _is_ready(self, agency: str, read: dict[str, int]) -> bool:
        heard = self.follows.get((agency, read[agency]), {})
        return read[agency] < len(self.lanes[agency].items) and all(read[lane] >= n for lane, n in heard.items())

    @property
    def records(self) -> int:
        """How many records there are."""
        return sum(len(lane.items) for lane in self.lanes.values())


def past(random: Random, steps: int) -> Past:
    """A history: mostly in order, with every kind of disorder that the judge has an answer for."""
    found = Past(random, {agency: Lane(agency) for agency in AGENCIES})
    codes = iter(range(1, 1_000_000))
    for _ in range(steps):
        lane = found.lanes[random.choice(AGENCIES)]
        _one_step(lane, random, next(codes))
    return found


def _one_step(lane: Lane, random: Random, code: int) -> None:
    kind = random.random()
    if kind < 0.08 and lane.items:
        lane.again(random.choice(lane.items))
    elif kind < 0.11:
        lane.put(Unreadable("record.not-avro", "made so"), value=b"rubbish")
    elif kind < 0.14:
        lane.say(
            directive(f"d-{random.randint(1, 3)}"), agency=random.choice([a for a in AGENCIES if a != lane.agency])
        )
    elif kind < 0.17 and any(isinstance(item.content, Decoded) for item in lane.items):
        known = random.choice([item for item in lane.items if isinstance(item.content, Decoded)])
        other = lane.say(directive("d-other", 1, title=f"Khác {code}"))
        lane.items.pop()
        lane.put(with_id_of(other, known))
    else:
        lane.say(_something(lane.agency, random, code), **_place_in_source(lane, random))


def _place_in_source(lane: Lane, random: Random) -> dict[str, Any]:
    values: dict[str, Any] = {"portal": random.choice(PORTALS)}
    kind = random.random()
    if kind < 0.08:
        values["sequence"] = random.randint(1, 30)
    elif kind < 0.12:
        values["epoch"] = random.randint(1, 3)
    return values


def _something(agency: str, random: Random, code: int) -> Payload:
    kind = random.random()
    if kind < 0.45:
        name, version = f"d-{random.randint(1, 3)}", random.randint(1, 5)
        if version > 1 and random.random() < 0.15:
            return withdrawal(name, version, title=f"Thu hồi {code}")
        return directive(name, version, title=f"Văn bản {code}")
    if kind < 0.55 and agency != CENTRE:
        to = random.choice(ELSEWHERE)
        return progress(CaseStep.TRANSFERRED, f"{agency}-000{random.randint(1, 4)}", to_agency=to)
    if kind < 0.75:
        owner = random.choice(AGENCIES)
        return receipt(f"{agency}-000{random.randint(1, 4)}", code, addressed_to=owner)
    return answer(f"{random.choice(AGENCIES)}-000{random.randint(1, 4)}", answer=f"Trả lời {code}.")


@dataclass
class Prediction:
    """How a history ends: the accepted versions of each directive, each case with who may have answered it."""

    versions: dict[str, list[str]] = field(default_factory=dict)
    withdrawn: dict[str, bool] = field(default_factory=dict)
    cases: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Who received it, and who has it in the end."""
    answers: dict[str, set[tuple[str, int]]] = field(default_factory=dict)
    holes: dict[Hole, datetime] = field(default_factory=dict)
    """Numbers that never came, each with the lane time of the record that showed it."""

    def may_answer(self, case_id: str) -> tuple[str, ...]:
        """Who has a case or received it; a body elsewhere says nothing."""
        return self.cases.get(case_id, ())


def predicted(history: Past) -> Prediction:
    """What the lanes come to, whatever the order in which they are read against each other."""
    said = Prediction()
    valid = {agency: _valid(lane, said) for agency, lane in history.lanes.items()}
    for agency, events in valid.items():
        _fold_directives(agency, [event for _, event in events], said)
        for _, event in events:
            payload = event.payload
            if isinstance(payload, FeedbackReceived):  # public codes differ, so only the case id can be taken
                said.cases.setdefault(payload.case_id, (agency, payload.addressed_to))
    for agency, events in valid.items():
        _pass_on(agency, [event.payload for _, event in events], said)
        first: dict[str, int] = {}
        for offset, event in events:
            payload = event.payload
            if isinstance(payload, FeedbackResolved) and agency in said.may_answer(payload.case_id):
                first.setdefault(payload.case_id, offset)
        for case_id, offset in first.items():
            said.answers.setdefault(case_id, set()).add((agency, offset))
    return said


def assert_holes(ledger: MemoryLedger, said: Prediction) -> None:
    """What never came is listed, by source and number, since the record that showed it; and was asked for at once."""
    listed = {
        (agency, portal, gap.epoch, number): gap.opened_at
        for (agency, portal), source in ledger.history.sources.items()
        for gap in source.gaps.values()
        for number in range(gap.first, gap.last + 1)
    }
    assert listed == said.holes
    asked: dict[Hole, datetime] = {}
    for notice in ledger.notices:
        if isinstance(one := notice.record, ResendRequested):
            for number in range(one.first, one.last + 1):
                asked.setdefault((one.agency, one.portal, one.epoch, number), one.requested_at)
    assert said.holes.items() <= asked.items()


def _pass_on(agency: str, payloads: list[Payload], said: Prediction) -> None:
    """A body passes on what it received itself, once, and only before the answer; others cannot speak before it."""
    spoken: set[str] = set()
    for payload in payloads:
        if not isinstance(payload, FeedbackProgressed | FeedbackResolved):
            continue
        if said.cases.get(payload.case_id) != (agency, agency) or payload.case_id in spoken:
            continue
        spoken.add(payload.case_id)
        if isinstance(payload, FeedbackProgressed) and payload.to_agency is not None:
            said.cases[payload.case_id] = (agency, payload.to_agency)


def _fold_directives(agency: str, events: list[Event], said: Prediction) -> None:
    by_key: dict[str, dict[int, DirectivePublished]] = {}
    for event in events:
        payload = event.payload
        if isinstance(payload, DirectivePublished):
            by_key.setdefault(f"{agency}/{payload.directive_id}", {}).setdefault(payload.version, payload)
    for key, versions in by_key.items():
        chain: list[DirectivePublished] = []
        while (version := versions.get(len(chain) + 1)) is not None:
            chain.append(version)
            if version.action is DirectiveAction.WITHDRAW:
                break
        if chain:
            said.versions[key] = [version.title for version in chain]
            said.withdrawn[key] = chain[-1].action is DirectiveAction.WITHDRAW


def _valid(lane: Lane, said: Prediction) -> list[tuple[int, Event]]:
    """The events of a lane that its own agency says, each once, with an id and a place of its own, as they take effect.

    That is in the order of the lane, but none before the events of its source and epoch with lower sequences: not while
    they may still come, which is until the next epoch of the source or the end of the lane.
    """
    held = _Held()
    ids: dict[str, bytes] = {}
    used: dict[str, set[tuple[int, int]]] = {}
    found: list[tuple[int, Event]] = []
    for record, content in lane.items:
        if not isinstance(content, Decoded) or content.event.envelope.agency != lane.agency:
            continue
        head = content.event.envelope
        places = used.setdefault(head.portal, set())
        place = (head.epoch, head.sequence)
        newest = max((epoch for epoch, _ in places), default=0)
        passed = max((sequence for epoch, sequence in places if epoch == head.epoch), default=0)
        free = place not in places and (head.epoch >= newest or head.sequence < passed)
        known = head.id in ids
        ids.setdefault(head.id, content.content_hash)
        if free:
            places.add(place)
        if head.epoch > newest:
            found += held.all_of(head.portal)
        if free and not known:
            held.add(record.offset, content.event)
        found += held.free(head.portal, max(newest, head.epoch), places, record.offset)
    for portal, skipped in held.skipped.items():
        for place, offset in skipped.items():
            if place not in used[portal]:
                said.holes[lane.agency, portal, *place] = lane_time(lane.items[offset].record.timestamp_ms)
    return found + held.rest(used)


@dataclass
class _Held:
    """Events that have not taken effect yet, by portal, and where each portal first skipped each sequence."""

    events: dict[str, list[tuple[int, Event]]] = field(default_factory=dict)
    skipped: dict[str, dict[tuple[int, int], int]] = field(default_factory=dict)

    def add(self, offset: int, event: Event) -> None:
        self.events.setdefault(event.envelope.portal, []).append((offset, event))

    def free(self, portal: str, epoch: int, places: set[tuple[int, int]], offset: int) -> list[tuple[int, Event]]:
        """Those that nothing stands before any more."""
        highest = max((sequence for at, sequence in places if at == epoch), default=0)
        missing = {sequence for sequence in range(1, highest) if (epoch, sequence) not in places}
        skipped = self.skipped.setdefault(portal, {})
        for sequence in missing:
            skipped.setdefault((epoch, sequence), offset)
        barrier = min(missing, default=highest + 1)
        waiting = self.events.get(portal, [])
        self.events[portal] = [
            (at, event) for at, event in waiting if event.envelope.epoch == epoch and event.envelope.sequence > barrier
        ]
        return _by_sequence([item for item in waiting if item not in self.events[portal]])

    def all_of(self, portal: str) -> list[tuple[int, Event]]:
        return _by_sequence(self.events.pop(portal, []))

    def rest(self, used: dict[str, set[tuple[int, int]]]) -> list[tuple[int, Event]]:
        """What is held at the end, each stretch when the gap before it was opened long enough ago."""
        freed: list[tuple[int, str, int, int, Event]] = []
        for portal, waiting in self.events.items():
            for at, event in waiting:
                head = event.envelope
                before = [
                    offset
                    for (epoch, sequence), offset in self.skipped[portal].items()
                    if epoch == head.epoch and sequence < head.sequence and (epoch, sequence) not in used[portal]
                ]
                freed.append((max(before), portal, head.sequence, at, event))
        return [(at, event) for _, _, _, at, event in sorted(freed, key=lambda item: item[:3])]


def _by_sequence(events: list[tuple[int, Event]]) -> list[tuple[int, Event]]:
    return sorted(events, key=lambda item: (item[1].envelope.epoch, item[1].envelope.sequence))
