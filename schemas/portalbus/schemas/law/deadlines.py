"""The deadlines of a case under its regime: who owes what by when, under which rule and by which calendar. Pure.

The same facts, calendar and regimes give the same deadlines, years later too: each deadline carries the id of its rule
and the versions of both, and both can be stored as text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import islice, pairwise

from portalbus.schemas.directory import first_level
from portalbus.schemas.law.calendar import ONE_DAY, WorkingCalendar
from portalbus.schemas.law.duty import Duty, Regime, Term, Unit
from portalbus.schemas.law.facts import CaseFacts, Climb, Pause
from portalbus.schemas.law.levels import DIGEST, ladder
from portalbus.schemas.law.reckoning import Reckoning, day_of, end_of, reckon
from portalbus.schemas.law.regimes import Regimes

AFTER_THE_END = frozenset({Duty.PUBLISH, Duty.CHILDREN})
MOST_PROGRESS = 520
"""Progress notices reckoned for one case: ten years of weeks."""


class DeadlineState(StrEnum):
    """How a deadline stands at a moment."""

    OPEN = "OPEN"
    PAUSED = "PAUSED"
    MET = "MET"
    LATE = "LATE"
    """Met, but after it was due."""
    MISSED = "MISSED"
    """Due, and not met."""
    VOID = "VOID"
    """The case left or ended before it was due: nobody owes it any more."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """Something owed. `due_at` is the first moment at which it is late; None while the clock stands.

    `number` counts within a duty: progress notices, and the levels that an urgent case climbs.
    `due_on` is the last day in Viet Nam; None for what is owed within minutes.
    """

    duty: Duty
    number: int
    owed_by: str
    rule: str
    calendar: str
    regimes: str
    starts_at: datetime
    due_on: date | None
    due_at: datetime | None
    met_at: datetime | None = None
    ended_at: datetime | None = None
    reckoning: Reckoning | None = None
    told_to: str = ""
    """Who is to look at it once it is late: of an urgent case the next authority, else empty for who owes it."""

    def state(self, now: datetime) -> DeadlineState:
        """How it stands at a moment."""
        if self.met_at is not None:
            in_time = self.due_at is None or self.met_at < self.due_at
            return DeadlineState.MET if in_time else DeadlineState.LATE
        if self.due_at is None:
            return DeadlineState.VOID if self.ended_at else DeadlineState.PAUSED
        if self.due_at <= (self.ended_at or now):
            return DeadlineState.MISSED
        return DeadlineState.VOID if self.ended_at else DeadlineState.OPEN


def deadlines(facts: CaseFacts, calendar: WorkingCalendar, regimes: Regimes, now: datetime) -> list[Deadline]:
    """Every deadline of one clock of a case as of `now`, in the order of `Duty`.

    Of progress notices those that are past and the next one; of the levels of an urgent case all of them.
    A regime that is not known, or has no term for a duty on that day, sets no deadline.
    """
    regime = regimes.by_id.get(facts.regime)
    if regime is None:
        return []
    return list(_Reckoner(facts, regime, calendar, regimes, now).all())


@dataclass(frozen=True, slots=True)
class _Reckoner:
    facts: CaseFacts
    regime: Regime
    calendar: WorkingCalendar
    regimes: Regimes
    now: datetime

    def all(self) -> Iterator[Deadline]:
        facts = self.facts
        yield from self._acknowledgements()
        yield from self._within_days(Duty.PASS_ON, facts.received, _first(facts.passed_on, facts.answered))
        if facts.refused is not None:
            yield from self._within_days(Duty.REFUSE, facts.received, facts.refused)
        yield from self._answer()
        if facts.split is not None:
            for children in self._within_days(Duty.CHILDREN, facts.split, facts.children_received):
                yield replace(children, ended_at=None)
        if facts.answered is not None and facts.refused is None and not facts.is_private:
            for publication in self._within_days(Duty.PUBLISH, facts.answered, facts.published):
                yield replace(publication, ended_at=None)  # it is owed once the case has ended

    @property
    def _acting(self) -> str:
        return self.facts.acting or self.facts.agency

    def _term(self, duty: Duty) -> Term | None:
        return self.regimes.term(self.facts.regime, duty, day_of(self.facts.received), first_level(self.facts.agency))

    def _acknowledgements(self) -> Iterator[Deadline]:
        term, levels = self._term(Duty.ACKNOWLEDGE), self.facts.ladder or ladder(self._acting)
        if term is None:
            return
        for number, climb in enumerate(self.facts.climbs):
            for deadline in self._climb(climb, term, levels):
                yield replace(deadline, number=number * len(levels) + deadline.number)

    def _climb(self, climb: Climb, term: Term, levels: Sequence[str]) -> Iterator[Deadline]:
        """A level after the other. Once another body has the case, its superiors wait for nothing: next is the top."""
        left, starts_at, number = self.facts.passed_to_another, climb.since, 0
        over = _first(climb.acknowledged, climb.ended)
        for authority, above in pairwise((*levels, DIGEST)):
            elsewhere = left is not None and left <= starts_at
            if number and elsewhere and authority != levels[-1]:
                continue
            if over is not None and over < starts_at:
                return  # it never came to this level
            due_at, number = starts_at + timedelta(minutes=term.length), number + 1
            told_to = above if above == DIGEST or left is None or left > due_at else levels[-1]
            found = self._deadline(term, number, authority, starts_at, None, due_at, climb.acknowledged)
            yield replace(found, ended_at=climb.ended, told_to=told_to)
            starts_at = due_at

    def _within_days(self, duty: Duty, start: datetime, met: datetime | None) -> Iterator[Deadline]:
        term = self._term(duty)
        if term is not None:
            pauses = () if duty in AFTER_THE_END else self.facts.pauses
            yield self._in_days(
                term, start, reckon(day_of(start), term.length, term.unit, self.regime, self.calendar, pauses), met
            )

    def _answer(self) -> Iterator[Deadline]:
        term, start = self._term(Duty.ANSWER), self.facts.received
        if term is None:
            return
        length = self._extended(term)
        found = reckon(day_of(start), length, term.unit, self.regime, self.calendar, self.facts.pauses)
        answer = self._in_days(term, start, found, self.facts.answered)
        yield answer
        progress = self._term(Duty.PROGRESS)
        if progress is not None and answer.due_on is not None and answer.state(self.now) is not DeadlineState.MET:
            yield from self._progress(progress, answer.due_on)

    def _extended(self, term: Term) -> int:
        """The length of the answer's term with the extensions that count: told in time, and within the allowance."""
        length, left = term.length, self.regime.extensions
        for extension in sorted(self.facts.extensions, key=lambda one: one.told):
            told = day_of(extension.told)
            known = _known_at(self.facts.pauses, extension.told)
            found = reckon(day_of(self.facts.received), length, term.unit, self.regime, self.calendar, known)
            if left == 0 or found.due_on is None or told > found.due_on:
                continue
            wanted = (
                self.calendar.worked_from(extension.due_on) if self.regime.ends_on_working_day else extension.due_on
            )
            more = self._days_between(found.moved_from or found.due_on, wanted, term.unit)
            if more > 0:
                length, left = length + more, left - 1
        return length

    def _days_between(self, after: date, upto: date, unit: Unit) -> int:
        """How many days of a term lie between, up to the longest extension: the day may be in the year 9999."""
        days = (after + number * ONE_DAY for number in range(1, (upto - after).days + 1))
        counted = (day for day in days if unit is Unit.CALENDAR_DAYS or self.calendar.is_worked(day))
        return sum(1 for _ in islice(counted, self.regime.extension_length))

    def _progress(self, term: Term, answer_due: date) -> Iterator[Deadline]:
        """Every so many days once the answer was due, counted from the last notice, or from the one that was missed."""
        base, told = answer_due, sorted(self.facts.progress_told)
        for number in range(1, MOST_PROGRESS + 1):
            found = reckon(base, term.length, term.unit, self.regime, self.calendar)
            if found.due_on is None:
                return
            due_at, starts_at = end_of(found.due_on), end_of(base)
            met = next((moment for moment in told if starts_at <= moment < due_at), None)
            if met is None:
                met = _before(self.facts.answered, due_at)
            deadline = self._deadline(term, number, self._acting, starts_at, found, due_at, met)
            state = deadline.state(self.now)
            if state is not DeadlineState.VOID:
                yield deadline
            if state in (DeadlineState.OPEN, DeadlineState.VOID) or (met is not None and met == self.facts.answered):
                return
            base = day_of(met) if met else found.moved_from or found.due_on

    def _in_days(self, term: Term, start: datetime, found: Reckoning, met: datetime | None) -> Deadline:
        due_at = end_of(found.due_on) if found.due_on else None
        return self._deadline(term, 1, self._acting, start, found, due_at, met)

    def _deadline(
        self,
        term: Term,
        number: int,
        owed_by: str,
        starts_at: datetime,
        found: Reckoning | None,
        due_at: datetime | None,
        met: datetime | None,
    ) -> Deadline:
        return Deadline(
            term.duty,
            number,
            owed_by,
            term.rule,
            self.calendar.version,
            self.regimes.version,
            starts_at,
            found.due_on if found else None,
            due_at,
            met,
            self.facts.ended,
            found,
        )


def _known_at(pauses: Sequence[Pause], moment: datetime) -> list[Pause]:
    """The pauses as far as they were known at a moment: one that lasts is taken to end with it."""
    return [replace(pause, until=min(pause.until or moment, moment)) for pause in pauses if pause.since <= moment]


def _first(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)


def _before(moment: datetime | None, end: datetime) -> datetime | None:
    return moment if moment is not None and moment < end else None
