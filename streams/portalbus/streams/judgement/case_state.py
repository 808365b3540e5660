"""What the ledger knows about one case: a working copy, folded by what is accepted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from portalbus.schemas.directory import AgencyDirectory
from portalbus.schemas.law.levels import GOVERNMENT_PORTAL
from portalbus.schemas.models import CaseStep, CaseUrgency, FeedbackProgressed, FeedbackReceived, FeedbackResolved
from portalbus.streams.judgement.case_steps import OPEN, TABLE, CaseStage, ending_of

REVIEW = timedelta(hours=24)
"""No text says how long the centre may return an answer (Decision 29/2026: before publication): a house rule."""


@dataclass(frozen=True, slots=True)
class TakenStep:
    """A step that this batch accepted, with where it came from."""

    payload: FeedbackProgressed
    agency: str
    event_id: str
    lane_offset: int
    received_at: datetime
    position: int


@dataclass(slots=True)
class CaseState:
    """One case; `opened`, `resolved` and `taken` hold what this batch brought.

    `passed` are the bodies that had it since it was received or opened again, the owner last; empty when it was never
    transferred. `returned` tells that this batch took an answer back; `answered_now` that its own answer stands:
    one that was given and opened again in one batch is written, and answers nothing. `steps` counts all steps taken.
    `heard_at` and `published_at` are lane times of the public answer that stands, and of the step by which the centre
    published it. `urgent` is what was said of its urgency last.
    """

    case_id: str
    receiver: str
    owner: str
    resolved_before: bool = False
    stage: CaseStage = CaseStage.RECEIVED
    passed: Sequence[str] = ()
    steps: int = 0
    heard_at: datetime | None = None
    published_at: datetime | None = None
    urgent: bool = False
    opened: FeedbackReceived | None = None
    resolved: FeedbackResolved | None = None
    answered_by: str | None = None
    position: int = 0
    returned: bool = False
    answered_now: bool = False
    taken: list[TakenStep] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.opened is not None and self.opened.diverted is not None:
            self.stage = CaseStage.DIVERTED
        if self.resolved_before and self.stage in OPEN:
            self.stage = CaseStage.ANSWERED

    @property
    def is_resolved(self) -> bool:
        """True when the case stands answered: its answer was not returned, and it was not opened again."""
        return self.stage not in OPEN and (self.resolved_before or self.answered_now)

    @property
    def is_diverted(self) -> bool:
        """True for a complaint or denunciation: nothing that it says is kept in its row, and nothing follows."""
        return self.stage is CaseStage.DIVERTED

    @property
    def owners(self) -> tuple[str, ...]:
        """Who had the case since it was received or opened again; the last one has it."""
        return tuple(self.passed) or (self.owner,)

    def is_shown(self, now: datetime, review: timedelta) -> bool:
        """True when the answer that stands may be on the page at this lane time."""
        return self.published_at is not None or (self.heard_at is not None and now >= self.heard_at + review)

    def answer(self, payload: FeedbackResolved, agency: str, position: int, heard_at: datetime) -> None:
        """Folds an accepted answer into the case."""
        self.resolved, self.answered_by, self.position = payload, agency, position
        self.stage, self.returned, self.answered_now = ending_of(payload), False, True
        self.heard_at, self.published_at = heard_at if payload.public else None, None

    def take(self, taken: TakenStep, new_owner: str) -> None:
        """Folds an accepted step into the case; `new_owner` is who has it after a transfer.

        A step that was lost and is folded late may find another stage than it had: then it changes none.
        """
        step = taken.payload.step
        if step is CaseStep.URGENCY_CHANGED and taken.payload.urgency is not None:
            self.urgent = taken.payload.urgency is CaseUrgency.URGENT
        self.taken.append(taken)
        self.steps += 1
        self.position = taken.position
        stage = TABLE[self.stage].get(step)
        if stage is None:
            return
        self.stage = stage
        if step is CaseStep.TRANSFERRED:
            self.passed = (*self.owners, new_owner)
            self.owner = new_owner
        elif step is CaseStep.REOPENED:
            self.passed = ()
            self.resolved_before = self.answered_now = False
        elif step is CaseStep.ANSWER_RETURNED:
            self.resolved, self.answered_by, self.returned = None, None, True
            self.resolved_before = self.answered_now = False
            self.heard_at = self.published_at = None
        elif step is CaseStep.PUBLISHED and taken.agency == GOVERNMENT_PORTAL:
            self.published_at = self.published_at or taken.received_at


def heir(code: str, directory: AgencyDirectory, today: date) -> str:
    """The code itself, or where its body is abolished, that of its only successor."""
    return directory.heir_of(code, today) or code
