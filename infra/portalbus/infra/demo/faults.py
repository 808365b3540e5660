"""The faulty events, one function a kind: what an old system sends, and what the centre must say to it.

Each story is written by the source `legacy` of one agency, whose sequences are right; so the only thing wrong with an
event is what its story is about. Stories of one lane lie wholly in one source, so their order is certain.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

from portalbus.infra.demo.cast import LEGACY
from portalbus.infra.demo.composer import Composer
from portalbus.infra.demo.day import moment
from portalbus.infra.demo.plan import Door, Step, Wire
from portalbus.schemas.directory import Agency
from portalbus.schemas.models import (
    CaseStep,
    Classification,
    FeedbackProgressed,
    FeedbackReceived,
    FeedbackResolved,
    Outcome,
    Payload,
    VerdictStatus,
)

ACCEPTED, REJECTED = VerdictStatus.ACCEPTED, VerdictStatus.REJECTED
DUPLICATE, PARKED, WAITING = VerdictStatus.DUPLICATE, VerdictStatus.PARKED, VerdictStatus.WAITING

Kind = Callable[[Composer, Random], None]


class Story:
    """The events of one fault, one shortly after the other, from one old system."""

    def __init__(self, composer: Composer, random: Random, earliest: float = 0.05) -> None:
        self.composer = composer
        self.random = random
        self.host: Agency = random.choice(composer.cast)
        self.at = moment(random, earliest, 0.9)

    def sends(
        self, payload: Payload, status: VerdictStatus = ACCEPTED, rule: str = "event.accepted", **how: Any
    ) -> Step:
        """The old system writes a record; every fault gets its name from the story that calls."""
        self.at += 0.0005
        return self.composer.add(
            self.at, self.host, payload, portal=LEGACY, door=Door.KAFKA, status=status, rule=rule, **how
        )

    def is_refused_at_home(self, payload: Payload, rule: str, fault: str) -> Step:
        """The portal itself hands it to the SDK, which refuses it."""
        self.at += 0.0005
        return self.composer.add(self.at, self.host, payload, status=None, rule=rule, fault=fault)

    def directive(self, **changes: Any) -> Any:
        """A new directive of the host."""
        return self.composer.directive(self.host, self.at, **changes)

    def receipt(self, owner: Agency | None = None, **changes: Any) -> FeedbackReceived:
        """A new feedback, received by the host."""
        return self.composer.receipt(self.host, owner or self.host, self.at, **changes)

    def answer(self, received: FeedbackReceived) -> FeedbackResolved:
        """An answer to it."""
        return self.composer.answer(received, self.at)

    def step(self, received: FeedbackReceived, kind: CaseStep) -> FeedbackProgressed:
        """A step of its life, bare."""
        return FeedbackProgressed(case_id=received.case_id, step=kind, at=self.composer.day.time(self.at))

    def other(self, *than: Agency) -> Agency:
        """Another agency of the cast."""
        return self.random.choice([agency for agency in self.composer.cast if agency not in (self.host, *than)])


def sent_twice(composer: Composer, random: Random) -> None:
    story = Story(composer, random)
    first = story.sends(story.receipt())
    story.sends(
        first.payload, DUPLICATE, "event.duplicate", fault="duplicate", wire=Wire.SENT_AGAIN, of_step=first.number
    )


def copied_from_the_lane(composer: Composer, random: Random) -> None:
    """An old mirror writes a portal's record to the lane once more."""
    story = Story(composer, random)
    at = story.at / 2
    original = composer.add(at, story.host, composer.directive(story.host, at))
    story.sends(
        original.payload, DUPLICATE, "event.duplicate", fault="duplicate", wire=Wire.SENT_AGAIN, of_step=original.number
    )


def id_reused(composer: Composer, random: Random) -> None:
    story = Story(composer, random)
    first = story.sends(story.directive())
    story.sends(
        story.directive(),
        REJECTED,
        "event.id-reused",
        fault="event id reused",
        wire=Wire.ID_REUSED,
        of_step=first.number,
    )


def sequence_reused(composer: Composer, random: Random) -> None:
    story = Story(composer, random)
    story.sends(story.directive())
    story.sends(
        story.directive(), REJECTED, "source.sequence-reused", fault="sequence reused", wire=Wire.SEQUENCE_REUSED
    )


def wrong_agency(composer: Composer, random: Random) -> None:
    story = Story(composer, random)
    victim = story.other()
    forged = composer.directive(victim, story.at)
    story.sends(
        forged, REJECTED, "lane.agency-mismatch", fault="wrong agency", wire=Wire.OTHER_AGENCY, other_agency=victim.code
    )


def unknown_case(composer: Composer, random: Random) -> None:
    """An answer to a case that nobody ever received: it waits, and its cause never comes."""
    story = Story(composer, random)
    story.sends(story.answer(story.receipt()), WAITING, "case.waits-for-receipt", fault="unknown case")


def missing_reason(composer: Composer, random: Random) -> None:
    story = Story(composer, random)
    received = story.receipt()
    story.sends(received)
    bare = composer.refusal(received, story.at).model_copy(
        update={"outcome": Outcome.REJECTED, "reason_code": None, "reason_text": None}
    )
    story.sends(bare, REJECTED, "refusal.needs-reason-code", fault="missing reason")
    story.is_refused_at_home(bare, "refusal.needs-reason-code", "missing reason (told by the SDK)")


def case_of_others(composer: Composer, random: Random) -> None:
    """An agency answers a case that is neither addressed to it nor received by it."""
    story = Story(composer, random)
    host, owner = story.host, story.other()
    received = story.receipt(owner)
    story.sends(received)
    story.host = story.other(host, owner)
    story.sends(story.answer(received), REJECTED, "case.not-yours", fault="case of another agency")


def answered_twice(composer: Composer, random: Random) -> None:
    story = Story(composer, random)
    received = story.receipt()
    story.sends(received)
    story.sends(story.answer(received))
    story.sends(story.answer(received), REJECTED, "case.already-resolved", fault="answered twice")


def step_out_of_turn(composer: Composer, random: Random) -> None:
    """A case that nobody has answered is opened again."""
    story = Story(composer, random)
    received = story.receipt()
    story.sends(received)
    again = story.step(received, CaseStep.REOPENED)
    story.sends(again, REJECTED, "case.step-not-allowed", fault="step out of turn")


def transferred_to_nobody(composer: Composer, random: Random) -> None:
    story = Story(composer, random)
    received = story.receipt()
    story.sends(received)
    lost = story.step(received, CaseStep.TRANSFERRED)
    story.sends(lost, REJECTED, "case.step-needs-agency", fault="transferred to nobody")


def received_twice(composer: Composer, random: Random) -> None:
    story = Story(composer, random)
    received = story.receipt()
    story.sends(received)
    again = story.receipt(case_id=received.case_id)
    story.sends(again, REJECTED, "case.already-received", fault="case id reused")


def stale_version(composer: Composer, random: Random) -> None:
    story = Story(composer, random)
    first = story.directive()
    story.sends(first)
    second = composer.revision(first)
    story.sends(second)
    late = second.model_copy(update={"body": first.body + "\n…"})
    story.sends(late, REJECTED, "directive.version-stale", fault="stale version")


def versions_swapped(composer: Composer, random: Random) -> None:
    """Version 3 comes before version 2: it waits, and both are accepted in the end."""
    story = Story(composer, random)
    first = story.directive()
    second = composer.revision(first)
    story.sends(first)
    story.sends(composer.revision(second), fault="versions swapped")
    story.sends(second)


def revised_after_withdrawal(composer: Composer, random: Random) -> None:
    story = Story(composer, random)
    first = story.directive()
    gone = composer.withdrawal(first)
    story.sends(first)
    story.sends(gone)
    story.sends(
        composer.revision(gone).model_copy(update={"withdrawal_reason": None}),
        REJECTED,
        "directive.already-withdrawn",
        fault="revised after withdrawal",
    )


def classified(composer: Composer, random: Random) -> None:
    story = Story(composer, random)
    level = random.choice((Classification.CONFIDENTIAL, Classification.SECRET, Classification.RESTRICTED))
    secret = story.directive(classification=level)
    story.sends(secret, REJECTED, "directive.classified", fault="classified document")
    story.is_refused_at_home(secret, "directive.classified", "classified document (told by the SDK)")


def unknown_type(composer: Composer, random: Random) -> None:
    story = Story(composer, random)
    story.sends(story.directive(document_type="XYZ"), REJECTED, "directive.type-unknown", fault="unknown document type")


def unknown_agency(composer: Composer, random: Random) -> None:
    story = Story(composer, random)
    story.sends(story.receipt(addressed_to="H99"), REJECTED, "agency.unknown", fault="unknown agency")


def far_future(composer: Composer, random: Random) -> None:
    story = Story(composer, random)
    story.sends(
        story.directive(),
        REJECTED,
        "time.implausible",
        fault="time in the future",
        occurred_at=composer.day.time(story.at) + timedelta(days=400),
    )


def decomposed_text(composer: Composer, random: Random) -> None:
    """Vietnamese letters taken apart (NFD), as some systems store them."""
    story = Story(composer, random)
    received = story.receipt()
    apart = received.model_copy(update={"subject": unicodedata.normalize("NFD", "Đường hỏng: " + received.subject)})
    story.sends(apart, REJECTED, "text.not-nfc", fault="text not in NFC")


def out_of_shape(composer: Composer, random: Random) -> None:
    """Avro that decodes, with a value that the contract does not allow."""
    story = Story(composer, random)
    story.sends(
        story.directive().model_copy(update={"language": "tiếng Việt"}),
        REJECTED,
        "schema.format",
        fault="value out of shape",
    )


def wrong_key(composer: Composer, random: Random) -> None:
    story = Story(composer, random)
    story.sends(story.directive(), REJECTED, "record.key-mismatch", fault="wrong record key", wire=Wire.WRONG_KEY)


def _unreadable(wire: Wire, rule: str, fault: str) -> Kind:
    def kind(composer: Composer, random: Random) -> None:
        story = Story(composer, random)
        story.sends(story.directive(), PARKED, rule, fault=fault, wire=wire)

    return kind


KINDS: tuple[Kind, ...] = (
    sent_twice,
    copied_from_the_lane,
    id_reused,
    sequence_reused,
    wrong_agency,
    unknown_case,
    missing_reason,
    case_of_others,
    answered_twice,
    step_out_of_turn,
    transferred_to_nobody,
    received_twice,
    stale_version,
    versions_swapped,
    revised_after_withdrawal,
    classified,
    unknown_type,
    unknown_agency,
    far_future,
    decomposed_text,
    out_of_shape,
    wrong_key,
    _unreadable(Wire.NOT_AVRO, "record.not-avro", "broken bytes"),
    _unreadable(Wire.CUT_SHORT, "record.undecodable", "record cut short"),
    _unreadable(Wire.TRAILING_BYTES, "record.trailing-bytes", "bytes after the end"),
    _unreadable(Wire.UNKNOWN_SCHEMA, "record.schema-not-allowed", "unknown schema"),
    _unreadable(Wire.EMPTY, "record.empty", "empty record"),
    _unreadable(Wire.TOO_LARGE, "record.too-large", "record too large"),
)
"""Every kind of fault; each takes part at least once."""
