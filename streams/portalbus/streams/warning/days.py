"""What kind of day it is: how many people write depends on it more than on anything else."""

from __future__ import annotations

from datetime import date, timedelta
from enum import IntEnum

from portalbus.schemas.law.calendar import WorkingCalendar

LONG_BREAK = 4
"""So many days off in a row are a holiday even on their Saturday and Sunday."""
AFTER_BREAK, OFF = 7, 8
CLASSES = 9
"""Monday (0) to Sunday (6), the first worked day after a break of three days or more, a day off that is a holiday."""
FRIDAY, SATURDAY = 4, 5
ONE_DAY = timedelta(days=1)


class Group(IntEnum):
    """Days whose hours are alike."""

    WORKED = 0
    WEEKEND = 1
    OFF = 2


def class_of(calendar: WorkingCalendar, day: date) -> int:
    """The class of a day, 0 to 8. A Saturday that is worked counts as a Friday."""
    if calendar.is_worked(day):
        rested = not any(calendar.is_worked(day - number * ONE_DAY) for number in (1, 2, 3))
        return AFTER_BREAK if rested else min(day.weekday(), FRIDAY)
    if day.weekday() < SATURDAY or _days_off_around(calendar, day) >= LONG_BREAK:
        return OFF
    return day.weekday()


def group_of(class_: int) -> Group:
    """The group that a class belongs to."""
    if class_ == OFF:
        return Group.OFF
    return Group.WEEKEND if class_ in (SATURDAY, SATURDAY + 1) else Group.WORKED


def _days_off_around(calendar: WorkingCalendar, day: date) -> int:
    count = 1
    for step in (-ONE_DAY, ONE_DAY):
        near = day + step
        while count < LONG_BREAK and not calendar.is_worked(near):
            count, near = count + 1, near + step
    return count
