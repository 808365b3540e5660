"""The life of a case: which step may be taken where, by whom, and where it leads. Pure.

`TABLE` says it all: stage and step to the next stage. A step that keeps the stage is written out too, so that what is
not in the table is not allowed. `WHO` says who may take a step. Receipt and answer are events of their own: the first
puts a case into RECEIVED, the second ends any open stage as `ENDINGS` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from portalbus.schemas.case_rules import diverts
from portalbus.schemas.directory import AgencyDirectory, first_level
from portalbus.schemas.law.levels import GOVERNMENT_PORTAL, ladder
from portalbus.schemas.models import CaseStep, FeedbackResolved, Outcome

ANSWERING = FeedbackResolved.event_type


class CaseStage(StrEnum):
    """Where a case is in its life."""

    RECEIVED = "RECEIVED"
    CLASSIFIED = "CLASSIFIED"
    IN_PROGRESS = "IN_PROGRESS"
    NEEDS_CLARIFICATION = "NEEDS_CLARIFICATION"
    ANSWERED = "ANSWERED"
    REJECTED = "REJECTED"
    PUBLISHED = "PUBLISHED"
    TRANSFERRED_OUT = "TRANSFERRED_OUT"
    DIVERTED = "DIVERTED"
    SPLIT = "SPLIT"
    WITHDRAWN = "WITHDRAWN"


class Party(StrEnum):
    """Who may take a step. The owner is the body that has the case, its first level, or its only successor."""

    OWNER = "owner"
    RECEIVER = "receiver"
    CENTRE = "centre"
    LADDER = "ladder"


OPEN = frozenset(
    {CaseStage.RECEIVED, CaseStage.CLASSIFIED, CaseStage.IN_PROGRESS, CaseStage.NEEDS_CLARIFICATION},
)
"""Somebody owes something: an answer may come."""

ENDINGS: Mapping[Outcome, CaseStage] = {
    Outcome.ANSWERED: CaseStage.ANSWERED,
    Outcome.ACCEPTED_AMEND: CaseStage.ANSWERED,
    Outcome.RECOMMENDED_TO_COMPETENT: CaseStage.ANSWERED,
    Outcome.INSUFFICIENT_BASIS: CaseStage.ANSWERED,
    Outcome.REJECTED: CaseStage.REJECTED,
    Outcome.TRANSFERRED_OUT: CaseStage.TRANSFERRED_OUT,
    Outcome.DIVERTED: CaseStage.DIVERTED,
    Outcome.WITHDRAWN: CaseStage.WITHDRAWN,
}
"""To which stage an answer leads."""

_WORKED_ON = {
    CaseStep.CLASSIFIED: CaseStage.CLASSIFIED,
    CaseStep.ACCEPTED: CaseStage.IN_PROGRESS,
    CaseStep.TRANSFERRED: CaseStage.RECEIVED,
    CaseStep.CLARIFICATION_ASKED: CaseStage.NEEDS_CLARIFICATION,
    CaseStep.SPLIT: CaseStage.SPLIT,
    CaseStep.DIVERTED: CaseStage.DIVERTED,
    CaseStep.WITHDRAWN: CaseStage.WITHDRAWN,
}


def _keeps(stage: CaseStage, *steps: CaseStep) -> dict[CaseStep, CaseStage]:
    return dict.fromkeys(steps, stage)


_TOLD = (CaseStep.PROGRESS_TOLD, CaseStep.ACKNOWLEDGED, CaseStep.URGENCY_CHANGED)

TABLE: Mapping[CaseStage, Mapping[CaseStep, CaseStage]] = {
    CaseStage.RECEIVED: {**_WORKED_ON, **_keeps(CaseStage.RECEIVED, CaseStep.EXTENDED, *_TOLD)},
    CaseStage.CLASSIFIED: {**_WORKED_ON, **_keeps(CaseStage.CLASSIFIED, CaseStep.EXTENDED, *_TOLD)},
    CaseStage.IN_PROGRESS: {
        **{step: stage for step, stage in _WORKED_ON.items() if step not in (CaseStep.CLASSIFIED, CaseStep.ACCEPTED)},
        **_keeps(CaseStage.IN_PROGRESS, CaseStep.EXTENDED, *_TOLD),
    },
    # The clock stands, and whoever asked has the case until it is told.
    CaseStage.NEEDS_CLARIFICATION: {
        CaseStep.CLARIFICATION_GIVEN: CaseStage.IN_PROGRESS,
        CaseStep.DIVERTED: CaseStage.DIVERTED,
        CaseStep.WITHDRAWN: CaseStage.WITHDRAWN,
        **_keeps(CaseStage.NEEDS_CLARIFICATION, *_TOLD),
    },
    # An answer may be returned until the centre shows it (Decision 29/2026): `cases.py` knows when that is.
    CaseStage.ANSWERED: {
        CaseStep.ANSWER_RETURNED: CaseStage.IN_PROGRESS,
        CaseStep.PUBLISHED: CaseStage.PUBLISHED,
        CaseStep.REOPENED: CaseStage.RECEIVED,
        CaseStep.RATED: CaseStage.ANSWERED,
    },
    CaseStage.REJECTED: {
        CaseStep.ANSWER_RETURNED: CaseStage.IN_PROGRESS,
        CaseStep.PUBLISHED: CaseStage.PUBLISHED,
        CaseStep.REOPENED: CaseStage.RECEIVED,
        CaseStep.RATED: CaseStage.REJECTED,
    },
    # The body that answered may publish on a page of its own at once: the centre may return it for as long as it likes.
    CaseStage.PUBLISHED: {
        CaseStep.ANSWER_RETURNED: CaseStage.IN_PROGRESS,
        CaseStep.PUBLISHED: CaseStage.PUBLISHED,
        CaseStep.REOPENED: CaseStage.RECEIVED,
        CaseStep.RATED: CaseStage.PUBLISHED,
    },
    # It was answered by naming another body: when that does not suit, the centre returns it like every answer.
    CaseStage.TRANSFERRED_OUT: {
        CaseStep.ANSWER_RETURNED: CaseStage.IN_PROGRESS,
        CaseStep.REOPENED: CaseStage.RECEIVED,
    },
    CaseStage.WITHDRAWN: {CaseStep.REOPENED: CaseStage.RECEIVED},
    # Its children have lives of their own; a complaint has another procedure.
    CaseStage.SPLIT: {},
    CaseStage.DIVERTED: {},
}

_ANYBODY = frozenset({Party.OWNER, Party.RECEIVER, Party.CENTRE})
WHO: Mapping[CaseStep, frozenset[Party]] = {
    CaseStep.ACCEPTED: frozenset({Party.OWNER}),
    CaseStep.CLASSIFIED: _ANYBODY,
    CaseStep.TRANSFERRED: frozenset({Party.OWNER, Party.CENTRE}),
    CaseStep.EXTENDED: frozenset({Party.OWNER}),
    CaseStep.CLARIFICATION_ASKED: frozenset({Party.OWNER}),
    # The centre too: where the bodies that asked and received are no more, it sets the case free for another one.
    CaseStep.CLARIFICATION_GIVEN: _ANYBODY,
    CaseStep.ANSWER_RETURNED: frozenset({Party.CENTRE}),
    CaseStep.REOPENED: _ANYBODY,
    CaseStep.WITHDRAWN: frozenset({Party.OWNER, Party.RECEIVER}),
    CaseStep.SPLIT: _ANYBODY,
    CaseStep.DIVERTED: _ANYBODY,
    CaseStep.ACKNOWLEDGED: frozenset({Party.OWNER, Party.LADDER}),
    CaseStep.PROGRESS_TOLD: frozenset({Party.OWNER, Party.RECEIVER}),
    CaseStep.URGENCY_CHANGED: _ANYBODY,
    CaseStep.PUBLISHED: _ANYBODY,
    CaseStep.RATED: frozenset({Party.OWNER, Party.RECEIVER}),
}


def allowed(stage: CaseStage) -> tuple[str, ...]:
    """What may happen to a case at this stage, the answer among it."""
    steps = tuple(step.value for step in TABLE[stage])
    return (*steps, ANSWERING) if stage in OPEN else steps


def agencies(party: Party, owner: str, heir: str | None, receiver: str) -> frozenset[str]:
    """The codes that stand for a party; `heir` is who acts for the owner today, if that is no choice."""
    acting = frozenset({owner, first_level(owner), heir or owner})
    if party is Party.OWNER:
        return acting
    if party is Party.RECEIVER:
        return frozenset({receiver})
    if party is Party.CENTRE:
        return frozenset({GOVERNMENT_PORTAL})
    return frozenset(authority for agency in acting for authority in ladder(agency))


def may_take(step: CaseStep, agency: str, owner: str, heir: str | None, receiver: str) -> bool:
    """True when this agency may take this step."""
    return any(agency in agencies(party, owner, heir, receiver) for party in WHO[step])


def who_may(step: CaseStep, owner: str, heir: str | None, receiver: str) -> tuple[str, ...]:
    """The codes of all who may take a step, for the text of a refusal."""
    return tuple(sorted(frozenset().union(*(agencies(party, owner, heir, receiver) for party in WHO[step]))))


def ending_of(payload: FeedbackResolved) -> CaseStage:
    """To which stage this answer leads: one that names another procedure diverts the case, however it is called."""
    return CaseStage.DIVERTED if diverts(payload) else ENDINGS[payload.outcome]


@dataclass(frozen=True, slots=True)
class Passing:
    """Who had a case since it was received or opened again, the owner last, looked at on a day.

    Bodies are compared as those that act for them that day; of another first level any unit is the same body.
    """

    owners: tuple[str, ...]
    directory: AgencyDirectory
    today: date

    def acting(self, code: str) -> str:
        """The body itself, or its only successor."""
        return self.directory.heir_of(code, self.today) or code

    def forbids(self, speaker: str, to: str, most: int) -> str | None:
        """The rule that forbids to pass the case on to a body; None when it may be, `most` times.

        What went up to the centre the centre decides: it may give a case to a body that had it before.
        """
        acting = [self.acting(owner) for owner in self.owners]
        if to == acting[-1]:
            return "case.transfer-loop"
        if GOVERNMENT_PORTAL in (speaker, to):
            return None
        inside = first_level(to) == first_level(acting[-1])
        before = acting if inside else [first_level(code) for code in acting]
        if (to if inside else first_level(to)) in before:
            return "case.transfer-loop"
        return "case.too-many-transfers" if len(self.owners) > most else None

    @property
    def above(self) -> str:
        """Where a case goes that its bodies pass around: the next level of who has it, and at last the centre."""
        had = {self.acting(owner) for owner in self.owners}
        return next((level for level in ladder(self.acting(self.owners[-1])) if level not in had), GOVERNMENT_PORTAL)
