"""What a forger says on its own lane: each event claims something of another agency, each in another way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from bare_kafka import Record
from bus_events import answer, contents, manifest, progress, statement_value, value_of, withdrawal
from honest_agencies import Belongings
from portal_events import directive, feedback
from portalbus.producers import new_event_id
from portalbus.schemas.headers import cloudevents_headers
from portalbus.schemas.models import CaseStep, Envelope, Event, Payload

MISMATCH, KEY = "lane.agency-mismatch", "record.key-mismatch"
NOT_YOURS, NOT_OWNER = "case.not-yours", "case.not-owner"
FORGER = "forger"
"""The portal that forgers speak as."""


class Forged(NamedTuple):
    """One attempt: how it is done, what it tries, the rule that has to refuse it, and the record."""

    way: str
    what: str
    rule: str
    record: Record


class Voice:
    """A forger's portal, whose events stand in their order; `own` is what its agency has on the bus itself."""

    def __init__(self, own: Belongings, schema_ids: Mapping[str, int]) -> None:
        self.own = own
        self._schema_ids = schema_ids
        self._sequence = 0

    def says(self, payload: Payload, *, key: str | None = None, **envelope: Any) -> Record:
        """An event in its own name; `envelope` overrides fields of the envelope, `key` the record's key."""
        self._sequence += 1
        return self._record(payload, _envelope(self.own.agency, FORGER, self._sequence, **envelope), key)

    def as_if(self, victim: str, payload: Payload) -> Record:
        """An event in the name of another agency's portal, with everything that belongs to it."""
        return self._record(payload, _envelope(victim, "www", 5), None)

    def states_of(self, victim: str) -> Iterator[Record]:
        """Statements of another agency's source: that much more was delivered than came, and that nothing was."""
        now = datetime.now(UTC)
        for statement in (
            manifest(victim, id=new_event_id(), last_sequence=900, delivered_sequence=900, sent_at=now),
            contents(victim, id=new_event_id(), day=now.date(), sent_at=now),
        ):
            yield Record(f"{victim}/www".encode(), statement_value(statement, self._schema_ids), [])

    def _record(self, payload: Payload, envelope: Envelope, key: str | None) -> Record:
        event = Event(envelope, payload)
        headers = cloudevents_headers(envelope, payload.event_type)
        return Record((key or event.key).encode(), value_of(event, self._schema_ids), headers)


def forged(voice: Voice, victim: Belongings) -> Iterator[Forged]:
    """Everything that a forger tries against another agency from its own lane."""
    yield from _by_header(voice, victim)
    yield from _by_field(voice, victim)
    yield from _by_replay(voice, victim)


def answered_early(voice: Voice, case: str) -> Forged:
    """An answer to a case that its agency has not received yet: it waits, and is refused once the case is there."""
    return Forged("field", "answers a case before it is received", NOT_YOURS, voice.says(_answer(case)))


def in_borrowed_clothes(voice: Voice, victim: Belongings) -> Record:
    """An event of the forger's own, under an event id of another agency and that agency's headers."""
    number = int.from_bytes(victim.agency.encode())
    record = voice.says(directive(number), id=victim.answer.event_id)
    return record._replace(headers=victim.record.headers)


def _by_header(voice: Voice, victim: Belongings) -> Iterator[Forged]:
    name, headers = victim.directive.key.partition("/")[2], victim.record.headers
    gone = withdrawal(name)
    yield Forged("header", "withdraws a directive", MISMATCH, voice.as_if(victim.agency, gone))
    garbage = Record(victim.record.key, b"no event", headers)
    yield Forged("header", "says nothing readable", "record.not-avro", garbage)
    answered = voice.says(_answer(victim.open_case.case_id))._replace(headers=headers)
    yield Forged("header", "answers a case", NOT_YOURS, answered)


def _by_field(voice: Voice, victim: Belongings) -> Iterator[Forged]:
    case, agency = victim.open_case.case_id, victim.agency
    revised = directive(1, version=2)
    yield Forged("field", "revises a directive", MISMATCH, voice.as_if(agency, revised))
    yield Forged("field", "receives a case", MISMATCH, voice.as_if(agency, feedback(77, agency=agency)))
    yield Forged("field", "claims a directive's key", KEY, voice.says(directive(1), key=victim.directive.key))
    yield Forged("field", "answers a case", NOT_YOURS, voice.says(_answer(case)))
    for step, more in (
        (CaseStep.TRANSFERRED, {"to_agency": voice.own.agency}),
        (CaseStep.WITHDRAWN, {}),
        (CaseStep.URGENCY_CHANGED, {}),
    ):
        yield Forged("field", f"takes the step {step}", NOT_OWNER, voice.says(_step(step, case, **more)))
    reopened = _step(CaseStep.REOPENED, victim.answered_case)
    yield Forged("field", "opens an answered case again", NOT_OWNER, voice.says(reopened))
    number = feedback(78, agency=agency)
    yield Forged("field", "receives a case under a number", "case.id-names-receiver", voice.says(number))
    code = feedback(79, agency=voice.own.agency).model_copy(update={"public_code": victim.open_case.public_code})
    yield Forged("field", "receives a case under a public code", "case.public-code-taken", voice.says(code))
    split = _step(CaseStep.SPLIT, voice.own.open_case.case_id, children=(case, victim.answered_case))
    yield Forged("field", "splits a case into another's", "case.child-names-splitter", voice.says(split))
    for statement in voice.states_of(agency):
        yield Forged("field", "states what a source has published", MISMATCH, statement)


def _by_replay(voice: Voice, victim: Belongings) -> Iterator[Forged]:
    yield Forged("replay", "the record to the byte", MISMATCH, victim.record)
    reused = voice.says(_answer(victim.open_case.case_id), id=victim.directive.event_id)
    yield Forged("replay", "the event id, on a case", NOT_YOURS, reused)


def _answer(case: str) -> Payload:
    return answer(case, answer="Không phải lời của cơ quan này.", answered_at=datetime.now(UTC))


def _step(step: CaseStep, case: str, **values: Any) -> Payload:
    return progress(step, case, at=datetime.now(UTC), **values)


def _envelope(agency: str, portal: str, sequence: int, **values: Any) -> Envelope:
    now = datetime.now(UTC)
    given: dict[str, Any] = {
        "id": new_event_id(),
        "agency": agency,
        "portal": portal,
        "epoch": 1,
        "sequence": sequence,
        "occurred_at": now,
        "published_at": now,
    }
    return Envelope(**(given | values))
