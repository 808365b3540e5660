"""What a case is owed, reckoned a second time: by hand-written terms, the `holidays` library, no code of the bus.

Handlings whose clock stood still or was stretched are left out of the answers: `data/legal_dates.csv` has such dates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from typing import NamedTuple

import holidays

from portalbus.schemas.models import CaseStep, CaseUrgency, FeedbackProgressed, FeedbackReceived, FeedbackResolved

HERE = timezone(timedelta(hours=7))
LIBRARY = holidays.country_holidays("VN", years=range(2024, 2032))
ANSWER = {"R2": (20, False), "R3": (20, False), "R4": (15, False), "R5": (10, True), "R6": (7, True), "R7": (15, True)}
"""Days to answer in, and whether only working days count."""
HOUR = timedelta(hours=1)
STRETCHED = {
    CaseStep.EXTENDED,
    CaseStep.CLARIFICATION_ASKED,
    CaseStep.CLARIFICATION_GIVEN,
    CaseStep.ANSWER_RETURNED,
}
HEIRS = {"H02": "H05"}


class Told(NamedTuple):
    """What was accepted of a case, from whom, and when the centre heard of it."""

    payload: FeedbackReceived | FeedbackResolved | FeedbackProgressed
    agency: str
    heard: datetime


@dataclass
class Time:
    """One body's time with the case."""

    agency: str
    received: datetime
    ended: datetime | None = None
    stretched: bool = False
    taken: bool = False


@dataclass
class Climb:
    """From when nobody had said that they have it."""

    since: datetime
    agency: str
    left: datetime | None = None
    over: datetime | None = None


@dataclass
class Reckoned:
    """A case: who had it when, how it climbed, and when it was split."""

    regime: str
    times: list[Time]
    climbs: list[Climb] = field(default_factory=list)
    urgent: bool = False
    split: tuple[str, datetime] | None = None

    def late_answers(self, now: datetime) -> dict[int, str]:
        """Who was late with an answer, by the number of its time with the case."""
        term = ANSWER.get(self.regime)
        return {
            number: one.agency
            for number, one in enumerate(self.times, 1)
            if term and not one.stretched and end_of(one.received, *term) <= (one.ended or now)
        }

    def told(self, now: datetime) -> Counter[tuple[str, datetime]]:
        """Who was told that nobody acknowledged it, and when."""
        return Counter(found for climb in self.climbs for found in _told(climb, now))

    def misses_children(self, now: datetime) -> str | None:
        """Who split it, once its children are late; none ever came."""
        if self.split is None or end_of(self.split[1], 1, working=True) > now:
            return None
        return self.split[0]


def end_of(start: datetime, days: int, working: bool) -> datetime:
    """The midnight at which it is late: the day after is day 1, and the last one is worked."""
    day = start.astimezone(HERE).date()
    while days:
        day += timedelta(days=1)
        days -= 1 if not working or _worked(day) else 0
    while not _worked(day):
        day += timedelta(days=1)
    return datetime.combine(day + timedelta(days=1), time(), HERE)


def _worked(day: date) -> bool:
    return bool(LIBRARY.is_working_day(day))


def _told(climb: Climb, now: datetime) -> Iterable[tuple[str, datetime]]:
    """An hour each for the body, its first level and the centre; once it went elsewhere, for the centre alone."""
    ladder = list(dict.fromkeys((climb.agency, climb.agency.partition(".")[0], "G22")))
    asked, at = ladder[0], climb.since
    while True:
        at += HOUR
        if at > (climb.over or now):
            return
        gone = climb.left is not None and climb.left <= at
        rest = ladder[ladder.index(asked) + 1 :]
        above = "PM" if not rest else "G22" if gone else rest[0]
        yield above, at
        if above == "PM":
            return
        asked = above


def reckoned(events: Iterable[Told]) -> Reckoned:
    """The case after these events, in the order in which they were accepted."""
    first, *rest = events
    assert isinstance(first.payload, FeedbackReceived)
    case = Reckoned(
        first.payload.regime, [Time(first.payload.addressed_to, min(first.payload.received_at, first.heard))]
    )
    if first.payload.urgency is CaseUrgency.URGENT:
        case.urgent = True
        case.climbs.append(Climb(first.heard, first.payload.addressed_to))
    for told in rest:
        if isinstance(told.payload, FeedbackResolved):
            _end(case, max(min(told.payload.answered_at, told.heard), case.times[-1].received), told.heard)
        elif isinstance(told.payload, FeedbackProgressed):
            _step(case, told, told.payload)
    return case


def _end(case: Reckoned, at: datetime, heard: datetime) -> None:
    case.times[-1].ended = at
    _over(case, heard)


def _over(case: Reckoned, heard: datetime) -> None:
    for climb in case.climbs:
        climb.over = climb.over or heard


def _step(case: Reckoned, told: Told, step: FeedbackProgressed) -> None:
    now, heard = case.times[-1], told.heard
    at = max(min(step.at, heard), now.ended or now.received)
    now.stretched |= step.step in STRETCHED
    match step.step:
        case CaseStep.TRANSFERRED:
            now.ended = at
            for climb in case.climbs:
                climb.left = climb.left or heard
            case.times.append(Time(HEIRS.get(step.to_agency or "", step.to_agency or ""), at))
            _begin(case, heard)
        case CaseStep.REOPENED:
            case.times.append(Time(now.agency, at))
            _begin(case, heard)
        case CaseStep.ANSWER_RETURNED:
            now.ended = None
            if not now.taken:
                _begin(case, heard)
        case CaseStep.ACKNOWLEDGED:
            now.taken |= any(climb.over is None for climb in case.climbs)
            _over(case, heard)
        case CaseStep.URGENCY_CHANGED if step.urgency is CaseUrgency.URGENT and not case.urgent:
            case.urgent = True
            _begin(case, heard)
        case CaseStep.SPLIT:
            case.split = told.agency, at
            _end(case, at, heard)
        case CaseStep.DIVERTED | CaseStep.WITHDRAWN:
            _end(case, at, heard)
        case _:
            pass


def _begin(case: Reckoned, heard: datetime) -> None:
    if case.urgent:
        case.climbs.append(Climb(heard, case.times[-1].agency))
