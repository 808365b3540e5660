"""The compressed working day: from a place in it (0 to 1) to a time, and to when something usually happens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from random import Random

VIETNAM = timezone(timedelta(hours=7), "Asia/Ho_Chi_Minh")
OPENS = time(7, 30)
HOURS = 10.0
# Work done in each of ten equal parts of the day: a peak in the morning, a rest at noon, a peak in the afternoon.
INTENSITY = (6, 12, 14, 11, 4, 5, 13, 15, 12, 8)


@dataclass(frozen=True)
class WorkingDay:
    """One day, 07:30 to 17:30 in Viet Nam."""

    date: date

    def time(self, at: float) -> datetime:
        """The time at a place in the day."""
        opens = datetime.combine(self.date, OPENS, VIETNAM)
        return (opens + timedelta(hours=HOURS * at)).replace(microsecond=0)


def last_working_day(now: datetime) -> date:
    """The latest weekday that is over at `now`, so that nothing in it lies ahead."""
    here = now.astimezone(VIETNAM)
    ends = (datetime.combine(here.date(), OPENS, VIETNAM) + timedelta(hours=HOURS)).time()
    day = here.date() if here.time() >= ends else here.date() - timedelta(days=1)
    while day.weekday() >= 5:
        day -= timedelta(days=1)
    return day


def moment(random: Random, earliest: float = 0.0, latest: float = 1.0) -> float:
    """A place in the day, likelier where more work is done."""
    parts = len(INTENSITY)
    part = random.choices(range(parts), INTENSITY)[0]
    found = (part + random.random()) / parts
    return earliest + (latest - earliest) * found
