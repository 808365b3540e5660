"""What follows from a life under the law at a moment: handlings, deadlines and escalations, as rows. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple

from portalbus.schemas.law.calendar import WorkingCalendar
from portalbus.schemas.law.deadlines import Deadline, DeadlineState, deadlines
from portalbus.schemas.law.duty import Duty
from portalbus.schemas.law.levels import DIGEST, ladder, level_of
from portalbus.schemas.law.regimes import Regimes
from portalbus.streams.casework.life import Handling, Life


class EscalationKind(StrEnum):
    """What was not done in time."""

    OVERDUE = "OVERDUE"
    PROGRESS_DUE = "PROGRESS_DUE"
    ESCALATED = "ESCALATED"
    """Nobody acknowledged an urgent case: it climbed to the next authority."""


KINDS = {Duty.PROGRESS: EscalationKind.PROGRESS_DUE, Duty.ACKNOWLEDGE: EscalationKind.ESCALATED}
"""Of every other duty it is OVERDUE."""


@dataclass(frozen=True, slots=True)
class Law:
    """A calendar and regimes; `number` is the row of casework.law that keeps them."""

    number: int
    calendar: WorkingCalendar
    regimes: Regimes


@dataclass(frozen=True, slots=True)
class Moments:
    """`wall` is the clock's time; `heard` tells up to when everything that an agency said is known.

    What is owed within days is judged at the latter, so that a backlog makes nobody late; an urgent case never waits.
    """

    wall: datetime
    heard: Callable[[str], datetime]

    def of(self, deadline: Deadline) -> datetime:
        """At which moment a deadline is judged."""
        return self.wall if deadline.duty is Duty.ACKNOWLEDGE else min(self.heard(deadline.owed_by), self.wall)


class HandlingRow(NamedTuple):
    """One row of casework.handling."""

    case_id: str
    number: int
    agency: str
    level: str
    regime: str
    category: int
    field: str | None
    area: str | None
    received_at: datetime
    answered_at: datetime | None
    ended_at: datetime | None
    ending: str | None
    reason_code: str | None
    returned: int
    extended: int
    reopened: bool
    told_late: bool
    satisfaction: int | None


class DeadlineRow(NamedTuple):
    """One row of casework.deadline."""

    case_id: str
    handling: int
    duty: str
    number: int
    agency: str
    rule: str
    law: int
    due_on: date | None
    due_at: datetime | None
    met_at: datetime | None
    state: str


class EscalationRow(NamedTuple):
    """One row of casework.escalation."""

    case_id: str
    handling: int
    duty: str
    number: int
    kind: str
    agency: str
    told_to: str
    at: datetime
    closed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Rows:
    """Everything that follows from one life."""

    life: Life
    handlings: tuple[HandlingRow, ...]
    deadlines: tuple[DeadlineRow, ...]
    escalations: tuple[EscalationRow, ...]


def derive(life: Life, law: Law, moments: Moments) -> Rows:
    """The rows of a case."""
    handlings, owed, escalations = [], [], []
    for handling in life.handlings:
        found = deadlines(handling.facts(life.regime), law.calendar, law.regimes, moments.heard(handling.agency))
        states = [(deadline, deadline.state(moments.of(deadline))) for deadline in found]
        handlings.append(_handling(life, handling, found))
        owed += [_deadline(life, handling, deadline, state, law) for deadline, state in states]
        escalations += list(_escalations(life, handling, states))
    return Rows(life, tuple(handlings), tuple(owed), tuple(escalations))


def _handling(life: Life, handling: Handling, found: list[Deadline]) -> HandlingRow:
    answer = next((deadline for deadline in found if deadline.duty is Duty.ANSWER), None)
    due, heard = answer.due_at if answer else None, handling.heard
    in_time = handling.answered is not None and due is not None and handling.answered < due
    return HandlingRow(
        case_id=life.case_id,
        number=handling.number,
        agency=handling.agency,
        level=level_of(handling.agency),
        regime=life.regime,
        category=life.category,
        field=life.field,
        area=life.area,
        received_at=handling.received,
        answered_at=handling.answered,
        ended_at=handling.ended,
        ending=handling.ending.value if handling.ending else None,
        reason_code=handling.reason_code,
        returned=handling.returned,
        extended=len(handling.extensions),
        reopened=handling.reopened,
        told_late=in_time and heard is not None and due is not None and heard >= due,
        satisfaction=handling.satisfaction,
    )


def _deadline(life: Life, handling: Handling, deadline: Deadline, state: DeadlineState, law: Law) -> DeadlineRow:
    return DeadlineRow(
        case_id=life.case_id,
        handling=handling.number,
        duty=deadline.duty.value,
        number=deadline.number,
        agency=deadline.owed_by,
        rule=deadline.rule,
        law=law.number,
        due_on=deadline.due_on,
        due_at=deadline.due_at,
        met_at=deadline.met_at,
        state=state.value,
    )


def _escalations(
    life: Life, handling: Handling, states: list[tuple[Deadline, DeadlineState]]
) -> Iterator[EscalationRow]:
    for deadline, state in states:
        if deadline.due_at is None or state not in (DeadlineState.LATE, DeadlineState.MISSED):
            continue
        yield EscalationRow(
            case_id=life.case_id,
            handling=handling.number,
            duty=deadline.duty.value,
            number=deadline.number,
            kind=KINDS.get(deadline.duty, EscalationKind.OVERDUE).value,
            agency=deadline.owed_by,
            told_to=_told_to(deadline, handling.agency),
            at=deadline.due_at,
            closed_at=deadline.met_at or deadline.ended_at,
        )


def _told_to(deadline: Deadline, agency: str) -> str:
    """Of an urgent case the next authority, or the digest; of any other deadline the agency itself."""
    if deadline.duty is not Duty.ACKNOWLEDGE:
        return deadline.owed_by
    above = ladder(agency)[deadline.number :]
    return above[0] if above else DIGEST
