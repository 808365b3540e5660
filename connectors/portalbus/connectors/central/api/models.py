"""What the API answers. Times have a zone; counts are of this moment."""

from __future__ import annotations

from datetime import date, datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from portalbus.connectors.central.agency_names import AgencyName
from portalbus.connectors.central.figures import AgencyFigures
from portalbus.schemas.models import DirectivePublished
from portalbus.streams.reading.answer_due import DueState
from portalbus.streams.reading.cases import CaseHistory
from portalbus.streams.reading.directives import DirectiveHistory, DirectivePage, DirectiveRow

KINDSHIP = ("parent", "child")


class Answer(BaseModel):
    """Base of all answers; read from the rows of the ledger's read side."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


class DirectiveSummary(Answer):
    """A directive in a list, at its newest version."""

    key: str = Field(description="`<agency>/<directive_id>`", examples=["G22/15-CT-TTg-2026"])
    agency: str = Field(description="Code of the issuing agency.", examples=["G22"])
    directive_id: str
    version: int
    withdrawn: bool
    number: str = Field(description="Number and notation as printed.", examples=["15/CT-TTg"])
    document_type: str = Field(examples=["CT"])
    title: str
    language: str = Field(description="Language of the document (BCP 47).", examples=["vi"])
    field: str | None
    issued_on: date
    published_at: datetime = Field(description="When the centre received version 1.")
    changed_at: datetime = Field(description="When the centre received this version.")
    position: int = Field(description="Place of the last change in the ledger.")


class DirectiveList(Answer):
    """One page of directives, newest first."""

    items: list[DirectiveSummary]
    next: str | None = Field(description="Cursor of the next page; null on the last one.")

    @classmethod
    def of(cls, page: DirectivePage) -> Self:
        """The page as an answer."""
        return cls(items=[_summary(row) for row in page.rows], next=str(page.next) if page.next else None)


class DirectiveVersionAnswer(Answer):
    """One version as its portal published it."""

    version: int
    action: str
    event_id: str
    received_at: datetime
    document: DirectivePublished


class DirectiveAnswer(DirectiveSummary):
    """A directive with all its versions, oldest first."""

    versions: list[DirectiveVersionAnswer]

    @classmethod
    def of(cls, history: DirectiveHistory) -> Self:
        """The directive as an answer."""
        versions = [DirectiveVersionAnswer.model_validate(version) for version in history.versions]
        return cls(**_summary(history.row).model_dump(), versions=versions)


class FeedbackStep(Answer):
    """One accepted event of a case."""

    event_type: str
    agency: str
    occurred_at: datetime | None
    received_at: datetime
    step: str | None = Field(description="Which step, between receipt and answer.", examples=["TRANSFERRED"])
    to_agency: str | None = Field(description="Of a transfer: who has the case from then on.")
    outcome: str | None = Field(description="Of an answer: what this one was; null while it is not shown.")


class AnswerDueAnswer(Answer):
    """When the answer is owed, and by whom, under the law's calendar."""

    agency: str = Field(description="Who has the case now, and owes the answer.")
    state: DueState = Field(
        description="`open`; `paused` while the sender is asked to make something clear; `overdue`; `no_term` where "
        "the procedure has no term for the whole country."
    )
    due_on: date | None = Field(description="Last day in Viet Nam; null while paused and without a term.")
    rule: str | None = Field(description="Rule that the term follows from.")
    extended_because: str | None = Field(description="Why the agency needs more time; null when it asked for none.")


class FeedbackAnswer(Answer):
    """What became of a feedback. No personal data; the answer in words only if the agency made it public.

    While the centre may still return a public answer, outcome, reasons and answer are null.
    """

    public_code: str
    state: str = Field(examples=["RECEIVED", "RESOLVED"])
    receiver: str
    owner: str = Field(description="The agency that is to handle it.")
    regime: str
    category: int
    channel: str
    urgency: str = Field(description="What was said of it last.", examples=["NORMAL", "URGENT"])
    received_at: datetime
    outcome: str | None
    reason_code: str | None
    reason_text: str | None
    legal_basis: str | None
    competent_agency: str | None
    answer: str | None
    answer_language: str | None
    answer_public: bool | None
    answered_by: str | None
    answered_at: datetime | None
    shown_from: datetime | None = Field(
        description="While an answer is being reviewed: when it is shown at the latest; null if only when published."
    )
    answer_due: AnswerDueAnswer | None = Field(
        description="Of an open case: when its answer is owed; null for a moment after each step, until it is reckoned."
    )
    part_of: str | None = Field(description="Public code of the feedback that this one was a part of.")
    split_into: list[str] = Field(description="Public codes of the feedback that this one was split into.")
    steps: list[FeedbackStep]

    @classmethod
    def of(cls, history: CaseHistory) -> Self:
        """The case as an answer."""
        related = {kind: [one.public_code for one in history.relatives if one.kind == kind] for kind in KINDSHIP}
        row = {name: getattr(history.case, name) for name in cls.model_fields if hasattr(history.case, name)}
        return cls(
            **row,
            answer_due=AnswerDueAnswer.model_validate(history.due) if history.due else None,
            part_of=next(iter(related["parent"]), None),
            split_into=related["child"],
            steps=[FeedbackStep.model_validate(step) for step in history.steps],
        )


class AgencyAnswer(Answer):
    """One agency with its figures."""

    code: str = Field(examples=["H26"])
    name_vi: str
    name_en: str
    name_zh: str
    kind: str
    sources: int = Field(description="Sources that were ever heard.")
    last_heard_at: datetime | None
    accepted: int
    waiting: int
    rejected: int
    duplicate: int
    parked: int
    state: str | None = Field(
        description="`ok`, `quiet`, `late` or `silent`: that of its most silent source; null while it has none.",
        examples=["ok"],
    )
    state_since: datetime | None

    @classmethod
    def of(cls, figures: AgencyFigures) -> Self:
        """One line of the overview as an answer."""
        name: AgencyName = figures.name
        verdicts = figures.verdicts
        return cls(
            code=name.code,
            name_vi=name.vi,
            name_en=name.en,
            name_zh=name.zh,
            kind=name.kind,
            sources=figures.sources,
            last_heard_at=figures.last_heard_at,
            accepted=verdicts.accepted,
            waiting=figures.waiting,
            rejected=verdicts.rejected,
            duplicate=verdicts.duplicate,
            parked=figures.parked,
            state=figures.state,
            state_since=figures.state_since,
        )


class AgencyList(Answer):
    """All current agencies; `complete` is false while the figures are still being added up."""

    items: list[AgencyAnswer]
    complete: bool


class EventTypeAnswer(Answer):
    """How often a source is heard with one event type, and whether it is now."""

    event_type: str = Field(examples=["DirectivePublished"])
    state: str = Field(description="`ok`, `quiet`, `late` or `silent`, by the source's own cadence.", examples=["ok"])
    state_since: datetime
    last_heard_at: datetime
    expected_by: datetime | None = Field(description="When its silence becomes an alert; null while nothing is known.")


class SourceAnswer(Answer):
    """One source of an agency."""

    agency: str
    portal: str
    status: str
    epoch: int
    last_sequence: int
    first_heard_at: datetime
    last_heard_at: datetime
    missing: int = Field(description="Sequences that were passed over and have not come.")
    state: str = Field(
        description="`ok`, `quiet`, `late` or `silent`: the worst of the source's own and its event types'.",
        examples=["ok"],
    )
    state_since: datetime
    event_types: list[EventTypeAnswer]
    round_trip_ms: int | None = Field(
        description="How long its last canary took from publish() to the verdict, in milliseconds."
    )
    clock: str = Field(
        description="`right`, `ahead`, `behind` (by two minutes or more) or `unknown`: the clock of the portal.",
        examples=["right"],
    )
    clock_ahead_ms: int | None = Field(
        description="By how many milliseconds its clock is ahead of the broker's, as its last heartbeats show."
    )


class SourceList(Answer):
    """The sources of an agency."""

    items: list[SourceAnswer]


def _summary(row: DirectiveRow) -> DirectiveSummary:
    return DirectiveSummary.model_validate(row)
