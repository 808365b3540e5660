"""How much working time lies between two moments in Viet Nam.

Which days are worked says the working calendar (`law/calendar.py`). In a year without data what is counted is rather
too little working time than too much.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path

from portalbus.schemas.law.calendar import WorkingCalendar, working_calendar
from portalbus.schemas.zone import ZONE

OPENS, CLOSES = time(7, 30), time(17, 30)
"""From the earliest opening of an office to the latest closing: hours differ from province to province."""
DAY_SECONDS = 36_000
"""Working time of one working day, in seconds."""

_FIRST, _LAST = date(2020, 1, 1), date(2060, 1, 1)
_BEGIN = datetime.combine(_FIRST, time(), ZONE)
_END = datetime.combine(_LAST - timedelta(days=1), CLOSES, ZONE)


class WorkingTime:
    """Counts working time. Pure, and cheap to ask: the days are added up once."""

    def __init__(self, calendar: WorkingCalendar) -> None:
        self.calendar = calendar
        self._worked: list[int] = [0]
        """Working days before each day since `_FIRST`."""
        for number in range((_LAST - _FIRST).days):
            self._worked.append(self._worked[-1] + self.is_worked(_FIRST + timedelta(days=number)))

    @classmethod
    def read(cls, path: Path | None = None) -> WorkingTime:
        """Reads a file of days; without a path the one shipped with the package."""
        return cls(WorkingCalendar.read(path))

    def knows(self, year: int) -> bool:
        """True when the data hold this year's days off."""
        return self.calendar.knows(year)

    def is_worked(self, day: date) -> bool:
        """True for a working day."""
        return self.calendar.is_worked(day)

    def clock(self, moment: datetime) -> int:
        """Seconds of working time from 2020 to a moment: the difference of two is the working time between them.

        Moments before 2020 and after 2059 count as the first and the last one of these years.
        """
        local = min(max(moment.astimezone(ZONE), _BEGIN), _END)
        number = (local.date() - _FIRST).days
        before = self._worked[number] * DAY_SECONDS
        if self._worked[number + 1] == self._worked[number]:
            return before
        opened = local.replace(hour=OPENS.hour, minute=OPENS.minute, second=0, microsecond=0)
        return before + min(max(int((local - opened).total_seconds()), 0), DAY_SECONDS)

    def between(self, start: datetime, end: datetime) -> int:
        """Seconds of working time between two moments; negative when `end` comes first."""
        return self.clock(end) - self.clock(start)

    def after(self, start: datetime, seconds: float) -> datetime:
        """The moment at which so much working time has passed since `start` (UTC)."""
        goal = self.clock(start) + max(seconds, 0)
        if goal <= self.clock(start):
            return start
        days, rest = divmod(goal, DAY_SECONDS)
        if rest == 0:  # the end of a day, not the beginning of the next working day
            days, rest = days - 1, DAY_SECONDS
        number = min(bisect_right(self._worked, days) - 1, len(self._worked) - 2)
        opened = datetime.combine(_FIRST + timedelta(days=number), OPENS, ZONE)
        return (opened + timedelta(seconds=rest)).astimezone(UTC)


@lru_cache(maxsize=1)
def working_time() -> WorkingTime:
    """The working time in force, read once: by `PORTALBUS_DAYS_OFF` if set, else by the days shipped."""
    return WorkingTime(working_calendar())
