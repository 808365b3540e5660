"""Counting days as the Civil Code does: the arithmetic of one term, and how it came out, day by day.

The day on which something happened is not counted, the one after it is day 1 (Civil Code 2015, Art. 147); a term that
ends on a day off ends on the next working day (Art. 148(5)), at the end of that day (Art. 148(6)). Days are those of
Viet Nam. While a pause lasts no day counts, from the day on which it began to the day on which it ended: the day after
it goes on, like the day after receipt. A pause that begins once the term is over changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time

from portalbus.schemas.law.calendar import ONE_DAY, WorkingCalendar
from portalbus.schemas.law.duty import Regime, Unit
from portalbus.schemas.law.facts import Pause
from portalbus.schemas.zone import ZONE

MOST_DAYS = 4_000
"""Days looked at for one term: a case paused for ten years is still reckoned."""


@dataclass(frozen=True, slots=True)
class Reckoning:
    """The last day of a term; None while a pause keeps it open. `off` and `paused` are the days that did not count."""

    due_on: date | None
    counted: int
    off: int
    paused: int
    moved_from: date | None
    """The day on which the term would have ended, when that is a day off."""


def day_of(moment: datetime) -> date:
    """The day it was in Viet Nam."""
    return moment.astimezone(ZONE).date()


def end_of(day: date) -> datetime:
    """The first moment after a day in Viet Nam: what is due on that day is late from then on."""
    return datetime.combine(day + ONE_DAY, time(), ZONE)


def reckon(
    start: date, length: int, unit: Unit, regime: Regime, calendar: WorkingCalendar, pauses: Sequence[Pause] = ()
) -> Reckoning:
    """The last day of a term of `length` days that something on `start` set going. Raises ValueError for minutes."""
    if unit is Unit.MINUTES:
        raise ValueError("minutes are not reckoned in days")
    spans = [(day_of(pause.since), day_of(pause.until) if pause.until else None) for pause in pauses if regime.pauses]
    day = start if regime.starts_day_after else start - ONE_DAY
    counted = off = paused = 0
    while counted < length:
        day += ONE_DAY
        if (day - start).days > MOST_DAYS or _open_ended(day, spans):
            return Reckoning(None, counted, off, paused, None)
        if _is_paused(day, spans):
            paused += 1
        elif unit is Unit.WORKING_DAYS and not calendar.is_worked(day):
            off += 1
        else:
            counted += 1
    return _ended(day, counted, off, paused, regime, calendar, spans)


def _ended(
    day: date,
    counted: int,
    off: int,
    paused: int,
    regime: Regime,
    calendar: WorkingCalendar,
    spans: Sequence[tuple[date, date | None]],
) -> Reckoning:
    """The term ends on `day`, or on the first day after it that is worked and not paused."""
    last = day
    while regime.ends_on_working_day and (_is_paused(last, spans) or not calendar.is_worked(last)):
        if _open_ended(last, spans):
            return Reckoning(None, counted, off, paused, day)
        last += ONE_DAY
    return Reckoning(last, counted, off, paused, day if last != day else None)


def _is_paused(day: date, spans: Sequence[tuple[date, date | None]]) -> bool:
    return any(since <= day and (until is None or day <= until) for since, until in spans)


def _open_ended(day: date, spans: Sequence[tuple[date, date | None]]) -> bool:
    return any(until is None and since <= day for since, until in spans)
