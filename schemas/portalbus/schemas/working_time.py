"""Working time in Viet Nam: which days are worked, and how much working time lies between two moments.

The days off lie in `data/days_off.csv`, dated and with their source; the Government announces them each year, late, so
an installation overrides them with the file named by `PORTALBUS_DAYS_OFF`. In a year without data the days that are
fixed by law are off, and so is every day on which Tết may fall: what is counted there is rather too little working
time than too much.
"""

from __future__ import annotations

import csv
import os
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
OPENS, CLOSES = time(7, 30), time(17, 30)
"""From the earliest opening of an office to the latest closing: hours differ from province to province."""
DAY_SECONDS = 36_000
"""Working time of one working day, in seconds."""

ALWAYS_OFF = {(1, 1), (4, 30), (5, 1), (9, 2)}
"""Days (month, day) that the Labour Code 2019, Art. 112 fixes in the solar calendar."""
TET_FROM, TET_TO = (1, 19), (2, 26)
"""First and last day on which days off for Tết may fall: the lunar year begins between 21 January and 20 February."""

_FIRST, _LAST = date(2020, 1, 1), date(2060, 1, 1)
_BEGIN = datetime.combine(_FIRST, time(), ZONE)
_END = datetime.combine(_LAST - timedelta(days=1), CLOSES, ZONE)


class DayKind(StrEnum):
    """What a dated exception makes of a day."""

    OFF = "off"
    WORK = "work"


@dataclass(frozen=True, slots=True)
class ExceptionalDay:
    """A day that is off although it would be worked, or worked although it is a Saturday or Sunday."""

    day: date
    kind: DayKind
    name_vi: str
    source: str
    confidence: str


class WorkingTime:
    """Counts working time. Pure, and cheap to ask: the days are added up once."""

    def __init__(self, exceptions: Iterable[ExceptionalDay]) -> None:
        self._kinds: Mapping[date, DayKind] = {row.day: row.kind for row in exceptions}
        self._years = frozenset(day.year for day in self._kinds)
        self._worked: list[int] = [0]
        """Working days before each day since `_FIRST`."""
        for number in range((_LAST - _FIRST).days):
            self._worked.append(self._worked[-1] + self.is_worked(_FIRST + timedelta(days=number)))

    @classmethod
    def read(cls, path: Path | None = None) -> WorkingTime:
        """Reads a file of days; without a path the one shipped with the package."""
        if path is not None:
            text = path.read_text(encoding="utf-8")
        else:
            text = files("portalbus.schemas").joinpath("data/days_off.csv").read_text(encoding="utf-8")
        return cls(_exceptional_day(row) for row in csv.DictReader(text.splitlines()))

    def knows(self, year: int) -> bool:
        """True when the data hold this year's days off."""
        return year in self._years

    def is_worked(self, day: date) -> bool:
        """True for a working day."""
        kind = self._kinds.get(day)
        if kind is not None:
            return kind is DayKind.WORK
        if day.weekday() >= 5:
            return False
        if self.knows(day.year):
            return True
        return (day.month, day.day) not in ALWAYS_OFF and not TET_FROM <= (day.month, day.day) <= TET_TO

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
    """The working time in force, read once: `PORTALBUS_DAYS_OFF` if set, else the days shipped."""
    override = os.environ.get("PORTALBUS_DAYS_OFF")
    return WorkingTime.read(Path(override) if override else None)


def _exceptional_day(row: dict[str, str]) -> ExceptionalDay:
    return ExceptionalDay(
        date.fromisoformat(row["date"]), DayKind(row["kind"]), row["name_vi"], row["source"], row["confidence"]
    )
