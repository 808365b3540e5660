"""Rules about a case that was received: its answer and its steps."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

from portalbus.schemas.directory import AgencyDirectory
from portalbus.schemas.facts import legal_day
from portalbus.schemas.models import CaseStep, FeedbackProgressed, FeedbackResolved
from portalbus.streams.judgement.case_state import CaseState
from portalbus.streams.judgement.case_state import heir as heir_of
from portalbus.streams.judgement.case_steps import (
    ANSWERING,
    MOST_TRANSFERS,
    OPEN,
    TABLE,
    Party,
    above,
    agencies,
    allowed,
    may_take,
    passes_around,
    who_may,
)
from portalbus.streams.judgement.decision import ACCEPTED, Decision, rejected

NOTHING = "–"
SHOWN_FROM = "shown_from"
"""Of the acceptance of a public answer: from when on it is shown, RFC 3339 in UTC."""


def judge_answer(agency: str, case: CaseState, directory: AgencyDirectory, today: date) -> Decision:
    """An open case is answered, by the agency that has it or the one that received it."""
    if agency not in (case.owner, case.receiver):
        heir = directory.heir_of(case.owner, today)
        if agency not in agencies(Party.OWNER, case.owner, heir, case.receiver):
            return rejected("case.not-yours", "/case_id", owner=case.owner, agency=agency)
    if case.is_resolved:
        return rejected("case.already-resolved", "/case_id")
    return ACCEPTED if case.stage in OPEN else _not_allowed(ANSWERING, case)


def shown_later(payload: FeedbackResolved, received_at: datetime, review: timedelta) -> Decision:
    """The acceptance of an answer, with what this one was: the row of the case keeps the newest alone.

    Of a public one whose review begins, it says from when on it is shown. Whoever reads it before that moment must not
    show it: until then the centre may return it (Decision 29/2026).
    """
    params = {"outcome": payload.outcome.value, "answered_at": payload.answered_at.isoformat(timespec="milliseconds")}
    if payload.public and review:
        params[SHOWN_FROM] = (received_at + review).isoformat(timespec="milliseconds")
    return replace(ACCEPTED, params=params)


def judge_step(
    payload: FeedbackProgressed,
    agency: str,
    case: CaseState,
    directory: AgencyDirectory,
    now: datetime,
    review: timedelta,
) -> Decision:
    """A step is taken where the table has it, by whom it belongs to; a case is not passed around.

    An answer that is shown is not returned any more: so whatever was returned was never shown (Decision 29/2026).
    """
    today = legal_day(now)
    step, heir = payload.step, directory.heir_of(case.owner, today)
    if not may_take(step, agency, case.owner, heir, case.receiver):
        parties = ", ".join(who_may(step, case.owner, heir, case.receiver))
        return rejected("case.not-owner", "/step", step=step.value, owner=case.owner, agency=agency, parties=parties)
    if step not in TABLE[case.stage]:
        return _not_allowed(step.value, case)
    if step is CaseStep.TRANSFERRED:
        return _judge_transfer(payload, agency, case, directory, today)
    if step is CaseStep.ANSWER_RETURNED and case.is_shown(now, review):
        return rejected("case.answer-shown", "/step", hours=round(review.total_seconds() / 3600))
    return ACCEPTED


def _judge_transfer(
    payload: FeedbackProgressed, agency: str, case: CaseState, directory: AgencyDirectory, today: date
) -> Decision:
    to = heir_of(payload.to_agency or "", directory, today)
    rule = passes_around(agency, to, case.owners)
    if rule is None:
        return ACCEPTED
    return rejected(rule, "/to_agency", to=to, above=above(case.owners), count=MOST_TRANSFERS)


def _not_allowed(step: str, case: CaseState) -> Decision:
    names = ", ".join(allowed(case.stage)) or NOTHING
    return rejected("case.step-not-allowed", "/step", step=step, stage=case.stage.value, allowed=names)
