"""What follows from a life under the law at a moment: handlings, deadlines and escalations, as rows. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from portalbus.schemas.directory import AgencyDirectory, directory
from portalbus.schemas.law.calendar import WorkingCalendar
from portalbus.schemas.law.competence import Competence, competence
from portalbus.schemas.law.deadlines import AFTER_THE_END, Deadline, DeadlineState, deadlines
from portalbus.schemas.law.duty import Duty
from portalbus.schemas.law.facts import CaseFacts
from portalbus.schemas.law.levels import GOVERNMENT_PORTAL, ladder, level_of
from portalbus.schemas.law.reckoning import day_of
from portalbus.schemas.law.regimes import Regimes
from portalbus.streams.casework.life import Ending, Handling, Life

EMPTY: Mapping[str, datetime] = MappingProxyType({})


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
    """A calendar, regimes, a directory and rules of competence; `number` is the row of casework.law that keeps them."""

    number: int
    calendar: WorkingCalendar
    regimes: Regimes
    directory: AgencyDirectory = field(default_factory=directory)
    competence: Competence = field(default_factory=competence)

    def acting(self, code: str, on: date) -> str:
        """Who acts for a body on a day: itself, or its only successor. Several are a person's choice: itself then."""
        return self.directory.heir_of(code, on) or code

    def superior(self, code: str, on: date) -> str:
        """Who is told of what a body owes: who acts for it; the Government Portal where a person has to choose."""
        return self.directory.heir_of(code, on) or GOVERNMENT_PORTAL

    def ladder(self, code: str, on: date) -> tuple[str, ...]:
        """Who has to acknowledge an urgent case of this body on a day, one after the other."""
        return ladder(self.superior(code, on))


@dataclass(frozen=True, slots=True)
class Moments:
    """`wall` is the clock's time; `heard` tells up to when everything that an agency said is known.

    What is owed within days is judged at the latter, so that a backlog makes nobody late; an urgent case never waits.
    """

    wall: datetime
    heard: Callable[[str], datetime]
    review: timedelta | None = None
    """So long after it was heard a public answer is shown by itself; None: never."""

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


def derive(life: Life, law: Law, moments: Moments, received: Mapping[str, datetime] = EMPTY) -> Rows:
    """The rows of a case; `received` says of other cases when the centre heard of them, of its children among them."""
    handlings, owed, escalations = [], [], []
    for handling in life.handlings:
        facts = _facts(life, handling, law, moments, received)
        found = [
            _by_who_is_there(deadline, life, handling, law, moments)
            for deadline in deadlines(facts, law.calendar, law.regimes, moments.heard(facts.acting))
        ]
        states = [(deadline, deadline.state(moments.of(deadline))) for deadline in found]
        handlings.append(_handling(life, handling, found))
        owed += [_deadline(life, handling, deadline, state, law) for deadline, state in states]
        escalations += list(_escalations(life, handling, states, law, day_of(moments.wall)))
    return Rows(life, tuple(handlings), tuple(owed), tuple(escalations))


def _facts(life: Life, handling: Handling, law: Law, moments: Moments, received: Mapping[str, datetime]) -> CaseFacts:
    """What the deadlines follow from. What ended while a body was there stays with that body."""
    day = day_of(handling.ended or moments.wall)
    split = handling.ended if handling is life.now and handling.ending is Ending.SPLIT else None
    return replace(
        handling.facts(life.regime),
        published=handling.published or _shown(handling, moments),
        acting=law.acting(handling.agency, day),
        ladder=law.ladder(handling.agency, day),
        split=split,
        children_received=_last_child(life, received) if split else None,
    )


def _shown(handling: Handling, moments: Moments) -> datetime | None:
    """When a public answer was shown by itself, because its review was over: that is publication too."""
    if handling.heard is None or handling.answered is None or handling.is_private or moments.review is None:
        return None
    shown = handling.heard + moments.review
    return shown if shown <= moments.wall else None


def _last_child(life: Life, received: Mapping[str, datetime]) -> datetime | None:
    """When the last child came, of those that were not there before the case itself; None while one is missing."""
    came = [received.get(child) for child in life.children]
    known = [moment for moment in came if moment is not None and moment >= life.heard]
    return max(known) if known and len(known) == len(came) else None


def _by_who_is_there(deadline: Deadline, life: Life, handling: Handling, law: Law, moments: Moments) -> Deadline:
    """What is owed after a body's time with a case is owed by who acts for it today, or by who split the case."""
    if deadline.duty not in AFTER_THE_END:
        return deadline
    who = life.split_by if deadline.duty is Duty.CHILDREN else None
    return replace(deadline, owed_by=law.acting(who or handling.agency, day_of(moments.wall)))


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
    life: Life, handling: Handling, states: list[tuple[Deadline, DeadlineState]], law: Law, today: date
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
            told_to=deadline.told_to or law.superior(deadline.owed_by, today),
            at=deadline.due_at,
            closed_at=deadline.met_at or deadline.ended_at,
        )
