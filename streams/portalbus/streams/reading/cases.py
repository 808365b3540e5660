"""A case as the public may see it: never its text, never who wrote it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from portalbus.streams.reading.pool import Connection


@dataclass(frozen=True, slots=True)
class CaseRow:
    """The public side of a case. Answer and reason are None unless the agency made its answer public."""

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
    """A case and its steps in the order of the ledger."""

    case: CaseRow
    steps: tuple[StepRow, ...]


CASE = """
    select case_id, public_code, receiver, owner, regime, category, channel, urgency, received_at, state,
        coalesce(outcome, case when state = 'CLOSED' then stage end) as outcome,
        reason_code, case when answer_public then reason_text end as reason_text, legal_basis, competent_agency,
        case when answer_public then answer end as answer, answer_language, answer_public, answered_by, answered_at,
        addressed_to, stage
    from ledger.case where public_code = %s
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
        return CaseHistory(case, tuple(await cursor.fetchall()))
