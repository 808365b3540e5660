"""A case as the public may see it: never its text, never who wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from psycopg.rows import class_row

from portalbus.schemas.models import CaseStep, FeedbackResolved
from portalbus.streams.reading.answer_due import AnswerDue, answer_due
from portalbus.streams.reading.pool import Connection
from portalbus.streams.reading.relatives import Relative, relatives_of
from portalbus.streams.reading.shown import HIDDEN

ANSWER = FeedbackResolved.event_type
CENTRE = "G22"
"""Who reviews answers and publishes them."""


@dataclass(frozen=True, slots=True)
class CaseRow:
    """The public side of a case. Answer and reason are None unless the agency made its answer public; `urgency` is what
    was said of it last.

    While the centre may still return a public answer, nothing of it is here but that there is one; `shown_from` is when
    that time is over.
    """

    case_id: str
    public_code: str
    receiver: str
    owner: str
    regime: str
    category: int
    channel: str
    urgency: str
    received_at: datetime
    state: str
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
    addressed_to: str | None = None
    stage: str | None = None
    shown_from: datetime | None = None


@dataclass(frozen=True, slots=True)
class StepRow:
    """One accepted event of a case; `agency` said it, the centre heard it at `received_at`.

    Of a step between receipt and answer, `step` says which one, `to_agency` who has the case from then on. Of an
    answer, `outcome` and `answered_at` say what this one was, None while it is not shown.
    """

    event_type: str
    agency: str
    occurred_at: datetime | None
    received_at: datetime
    position: int
    step: str | None = None
    to_agency: str | None = None
    outcome: str | None = None
    answered_at: datetime | None = None
    was_reviewed: bool = True


@dataclass(frozen=True, slots=True)
class CaseHistory:
    """A case and its steps in the order of the ledger, with the cases that it is a part of or was split into.

    `due` is when its answer is owed; None once it was given, and while casework has not come to its newest step.
    """

    case: CaseRow
    steps: tuple[StepRow, ...]
    relatives: tuple[Relative, ...] = ()
    due: AnswerDue | None = None


CASE = f"""
    select c.case_id, c.public_code, c.receiver, c.owner, c.regime, c.category, c.channel,
        case when c.urgent then 'URGENT' else 'NORMAL' end as urgency, c.received_at, c.state,
        coalesce(told.outcome, case when c.state = 'CLOSED' then c.stage end) as outcome,
        told.reason_code, case when c.answer_public then told.reason_text end as reason_text, told.legal_basis,
        told.competent_agency, case when c.answer_public then told.answer end as answer, c.answer_language,
        c.answer_public, c.answered_by, c.answered_at, c.addressed_to,
        case when {HIDDEN} then 'ANSWERED' else c.stage end as stage,
        case when {HIDDEN} and lasts < interval '100 years' - interval '1 day' then c.answer_heard_at + lasts end
            as shown_from
    from ledger.case c cross join ledger.review_time() lasts
    left join ledger.case told on told.case_id = c.case_id and not coalesce({HIDDEN}, false)
    where c.public_code = %s
"""
STEPS = """
    select e.event_type, e.agency, e.occurred_at, e.received_at, e.position, s.step,
        s.document->>'to_agency' as to_agency, j.params->>'outcome' as outcome,
        (j.params->>'answered_at')::timestamptz as answered_at,
        coalesce((j.params->>'shown_from')::timestamptz <= ledger.shown_upto() + ledger.review_time(), true)
            as was_reviewed
    from ledger.event e left join ledger.case_step s on s.case_id = e.key and s.position = e.position
    left join ledger.judgement j on j.position = e.position and e.event_type = 'FeedbackResolved'
    where e.key = %s and e.status = 'ACCEPTED' order by e.position
"""


async def case_by_public_code(connection: Connection, public_code: str) -> CaseHistory | None:
    """The case with this public code; None when there is none."""
    async with connection.cursor(row_factory=class_row(CaseRow)) as cursor:
        await cursor.execute(CASE, (public_code,))
        case = await cursor.fetchone()
    if case is None:
        return None
    async with connection.cursor(row_factory=class_row(StepRow)) as cursor:
        await cursor.execute(STEPS, (case.case_id,))
        steps = as_shown(case, await cursor.fetchall())
    due = await answer_due(connection, case.case_id) if case.state == "RECEIVED" else None
    return CaseHistory(case, steps, await relatives_of(connection, case.case_id), due)


def as_shown(case: CaseRow, steps: Sequence[StepRow]) -> tuple[StepRow, ...]:
    """The steps, each answer with what the public may know of it.

    Of the newest that is what the case itself says; of one before it what it was, unless the centre returned it or its
    review is not over.
    """
    shown: list[StepRow] = []
    later: list[StepRow] = []
    is_newest = True
    for step in reversed(steps):
        if step.event_type != ANSWER:
            shown.append(step)
            later.append(step)
            continue
        if is_newest:
            shown.append(replace(step, outcome=case.outcome, answered_at=case.answered_at if case.outcome else None))
        else:
            shown.append(step if _was_shown(step, later) else replace(step, outcome=None, answered_at=None))
        later, is_newest = [], False
    return tuple(reversed(shown))


def _was_shown(answer: StepRow, until_the_next: Sequence[StepRow]) -> bool:
    """What was returned was never shown; what the centre published was, or what it could return no more."""
    taken = {(step.step, step.agency) for step in until_the_next}
    if any(step == CaseStep.ANSWER_RETURNED for step, _ in taken):
        return False
    return answer.was_reviewed or (CaseStep.PUBLISHED, CENTRE) in taken
