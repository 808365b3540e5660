"""Rules about a case that was received: its answer and its steps."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

from portalbus.schemas.directory import AgencyDirectory
from portalbus.schemas.facts import legal_day
from portalbus.schemas.law.limits import Limited, Limits
from portalbus.schemas.models import CaseStep, FeedbackProgressed, FeedbackResolved, Outcome
from portalbus.streams.judgement.case_state import CaseState
from portalbus.streams.judgement.case_steps import (
    ANSWERING,
    OPEN,
    TABLE,
    Party,
    Passing,
    agencies,
    allowed,
    may_take,
    who_may,
)
from portalbus.streams.judgement.decision import ACCEPTED, Decision, rejected

NOTHING = "–"
SHOWN_FROM = "shown_from"
"""Of the acceptance of a public answer: from when on it is shown, RFC 3339 in UTC."""


def judge_answer(
    payload: FeedbackResolved, agency: str, case: CaseState, directory: AgencyDirectory, today: date, limits: Limits
) -> Decision:
    """An open case is answered, by the agency that has it or the one that received it.

    One that names the body which is competent instead is a way to pass the case on: it may not go around either.
    """
    if agency not in (case.owner, case.receiver):
        heir = directory.heir_of(case.owner, today)
        if agency not in agencies(Party.OWNER, case.owner, heir, case.receiver):
            return rejected("case.not-yours", "/case_id", owner=case.owner, agency=agency)
    if case.is_resolved:
        return rejected("case.already-resolved", "/case_id")
    if case.stage not in OPEN:
        return _not_allowed(ANSWERING, case)
    if payload.outcome is Outcome.TRANSFERRED_OUT:
        return _judge_passing(payload.competent_agency, "/competent_agency", agency, case, directory, today, limits)
    return ACCEPTED


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
    limits: Limits,
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
        return _judge_passing(payload.to_agency, "/to_agency", agency, case, directory, today, limits)
    if step is CaseStep.ANSWER_RETURNED and case.is_shown(now, review):
        return rejected("case.answer-shown", "/step", hours=round(review.total_seconds() / 3600))
    return ACCEPTED


def _judge_passing(
    code: str | None,
    path: str,
    agency: str,
    case: CaseState,
    directory: AgencyDirectory,
    today: date,
    limits: Limits,
) -> Decision:
    passing, most = Passing(case.owners, directory, today), limits.of(Limited.TRANSFERS, today)
    to = passing.acting(code or "")
    rule = passing.forbids(agency, to, most)
    return ACCEPTED if rule is None else rejected(rule, path, to=to, above=passing.above, count=most)


def _not_allowed(step: str, case: CaseState) -> Decision:
    names = ", ".join(allowed(case.stage)) or NOTHING
    return rejected("case.step-not-allowed", "/step", step=step, stage=case.stage.value, allowed=names)
