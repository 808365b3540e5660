"""When the answer to a case is owed, and by whom, as the person who gave the feedback may know it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import LiteralString

from psycopg.rows import class_row

from portalbus.schemas.law.deadlines import DeadlineState
from portalbus.streams.reading.pool import Connection

DUE: LiteralString = """
    select h.agency, d.state, d.due_on, d.rule, x.reason as extended_because
    from casework.case k
    join casework.handling h on h.case_id = k.case_id and h.ended_at is null
        and h.number = (select max(number) from casework.handling where case_id = k.case_id)
    left join casework.deadline d on d.case_id = h.case_id and d.handling = h.number and d.duty = 'ANSWER'
    left join lateral (
        select s.document->>'reason' as reason from ledger.case_step s
        where s.case_id = k.case_id and s.step = 'EXTENDED' and not exists (
            select from ledger.case_step o where o.case_id = s.case_id and o.position > s.position
                and o.step in ('TRANSFERRED', 'REOPENED'))
        order by s.position desc limit 1
    ) x on true
    where k.case_id = %s and not exists (
        select from ledger.case_step s where s.case_id = k.case_id and s.position > k.position)"""


class DueState(StrEnum):
    """How it stands with an answer that was not given yet."""

    OPEN = "open"
    PAUSED = "paused"
    """The clock stands while the sender is asked to make something clear."""
    OVERDUE = "overdue"
    NO_TERM = "no_term"
    """The procedure has no term for the whole country."""


STATES = {
    DeadlineState.OPEN: DueState.OPEN,
    DeadlineState.PAUSED: DueState.PAUSED,
    DeadlineState.MISSED: DueState.OVERDUE,
}


@dataclass(frozen=True, slots=True)
class AnswerDue:
    """The answer that `agency` owes by the end of the day `due_on` in Viet Nam, under `rule`.

    `due_on` is None while the clock stands, and where no term is known. `extended_because` is the reason that the
    agency gave for needing more time; None when it asked for none. How much more it may take is said by the law.
    """

    agency: str
    state: DueState
    due_on: date | None
    rule: str | None
    extended_because: str | None


@dataclass(frozen=True, slots=True)
class _Row:
    agency: str
    state: str | None
    due_on: date | None
    rule: str | None
    extended_because: str | None


async def answer_due(connection: Connection, case_id: str) -> AnswerDue | None:
    """What is owed in an open case; None while casework has not come to its newest step."""
    async with connection.cursor(row_factory=class_row(_Row)) as cursor:
        await cursor.execute(DUE, (case_id,))
        row = await cursor.fetchone()
    if row is None:
        return None
    state = DueState.NO_TERM if row.state is None else STATES.get(DeadlineState(row.state))
    return None if state is None else AnswerDue(row.agency, state, row.due_on, row.rule, row.extended_because)
