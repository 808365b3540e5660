"""A case as the public may see it: never its text, never who wrote it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from portalbus.streams.reading.pool import Connection
from portalbus.streams.reading.relatives import Relative, relatives_of
from portalbus.streams.reading.shown import HIDDEN


@dataclass(frozen=True, slots=True)
class CaseRow:
    """The public side of a case. Answer and reason are None unless the agency made its answer public.

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

    Of a step between receipt and answer, `step` says which one, `to_agency` who has the case from then on.
    """

    event_type: str
    agency: str
    occurred_at: datetime | None
    received_at: datetime
    position: int
    step: str | None = None
    to_agency: str | None = None


@dataclass(frozen=True, slots=True)
class CaseHistory:
    """A case and its steps in the order of the ledger, with the cases that it is a part of or was split into."""

    case: CaseRow
    steps: tuple[StepRow, ...]
    relatives: tuple[Relative, ...] = ()


CASE = f"""
    select c.case_id, c.public_code, c.receiver, c.owner, c.regime, c.category, c.channel, c.urgency, c.received_at,
        c.state, coalesce(told.outcome, case when c.state = 'CLOSED' then c.stage end) as outcome,
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
        s.document->>'to_agency' as to_agency
    from ledger.event e left join ledger.case_step s on s.case_id = e.key and s.position = e.position
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
        steps = tuple(await cursor.fetchall())
    return CaseHistory(case, steps, await relatives_of(connection, case.case_id))
