"""Answers that their agencies made public: who answered what, to which kind of case. Never the case's text or code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from portalbus.streams.reading.pool import Connection
from portalbus.streams.reading.shown import SHOWN


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One public answer; `event_id` is that of the event that gave it, `case_id` is not for the public."""

    case_id: str
    event_id: str
    agency: str
    receiver: str
    regime: str
    category: int
    field: str | None
    received_at: datetime
    outcome: str | None
    reason_code: str | None
    reason_text: str | None
    legal_basis: str | None
    competent_agency: str | None
    answer: str | None
    language: str
    answered_at: datetime

    @property
    def text(self) -> str:
        """What it says, the reason after the answer."""
        return "\n".join(part for part in (self.answer, self.reason_text) if part)


SELECT = f"""
select c.case_id, e.event_id::text, c.answered_by as agency, c.receiver, c.regime, c.category, c.field, c.received_at,
    c.outcome, c.reason_code, c.reason_text, c.legal_basis, c.competent_agency, c.answer,
    coalesce(c.answer_language, 'vi') as language, c.answered_at
from ledger.case c join lateral (
    select event_id, position from ledger.event
    where key = c.case_id and event_type = 'FeedbackResolved' and status = 'ACCEPTED' order by position desc limit 1
) e on true
where c.answered_at is not null and {SHOWN}"""


async def answers_of(connection: Connection, case_ids: Sequence[str]) -> tuple[AnswerRow, ...]:
    """The public answers to these cases, in their order; those without one are left out."""
    async with connection.cursor(row_factory=class_row(AnswerRow)) as cursor:
        await cursor.execute(f"{SELECT} and c.case_id = any(%s)", (list(case_ids),))
        by_case = {row.case_id: row async for row in cursor}
    return tuple(by_case[case_id] for case_id in case_ids if case_id in by_case)


async def public_answer(connection: Connection, event_id: UUID) -> AnswerRow | None:
    """The public answer that this event gave; None when there is none, or a later one took its place.

    An id is an agency's own: of two agencies that gave their answers one id, the first one keeps the address.
    """
    async with connection.cursor(row_factory=class_row(AnswerRow)) as cursor:
        await cursor.execute(
            f"{SELECT} and e.event_id = %(id)s and c.case_id in (select key from ledger.event where claims_id"
            " and (agency, event_id) in (select agency, %(id)s from ledger.lane union select agency, %(id)s"
            " from ledger.source)) order by e.position limit 1",
            {"id": event_id},
        )
        return await cursor.fetchone()
