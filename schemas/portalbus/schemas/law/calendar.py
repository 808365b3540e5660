"""The working calendar of Viet Nam: which days are worked and which are off, and the version by which that was known.

The days lie in `data/days_off.csv`, dated and with their source. They were taken from the `holidays` library, and a
test holds them equal to it; the Government announces days off and made-up working days each year, late, so an
installation overrides them with the file named by `PORTALBUS_DAYS_OFF` (same columns). In a year without data the days
that are fixed by law are off, and so is every day on which Tết may fall.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

ALWAYS_OFF = {(1, 1), (4, 30), (5, 1), (9, 2)}
"""Days (month, day) that the Labour Code 2019, Art. 112 fixes in the solar calendar."""
TET_FROM, TET_TO = (1, 19), (2, 26)
"""First and last day on which days off for Tết may fall: the lunar year begins between 21 January and 20 February."""

COLUMNS = ("date", "kind", "name_vi", "source", "confidence")
ONE_DAY = timedelta(days=1)
VERSION_LENGTH = 12
LONGEST_BREAK = 60
"""Days that are not worked in a row, at most: more would be a broken file."""


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


class WorkingCalendar:
    """Which days are worked. `version` is the same for the same days, whatever their names and sources say."""

    def __init__(self, exceptions: Iterable[ExceptionalDay]) -> None:
        self.exceptions = tuple(sorted(exceptions, key=lambda row: row.day))
        self._kinds: Mapping[date, DayKind] = {row.day: row.kind for row in self.exceptions}
        self._years = frozenset(day.year for day in self._kinds)
        self.version = hashlib.sha256(self.text.encode()).hexdigest()[:VERSION_LENGTH]

    @classmethod
    def read(cls, path: Path | None = None) -> WorkingCalendar:
        """Reads a file of days; without a path the one shipped with the package. Raises ValueError with the line."""
        if path is not None:
            return cls.parse(path.read_text(encoding="utf-8"), str(path))
        shipped = files("portalbus.schemas").joinpath("data/days_off.csv")
        return cls.parse(shipped.read_text(encoding="utf-8"), "data/days_off.csv")

    @classmethod
    def parse(cls, text: str, name: str = "the calendar") -> WorkingCalendar:
        """A calendar from the text of such a file, or from `text` of another one. Raises ValueError with the line."""
        return cls(_exceptional_days(text, name))

    @property
    def text(self) -> str:
        """The days and their kinds, as CSV: enough to reckon with this calendar again years later."""
        return "date,kind\n" + "".join(f"{day},{kind}\n" for day, kind in self._kinds.items())

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

    def worked_from(self, day: date) -> date:
        """This day, or the next working day when it is off."""
        for number in range(LONGEST_BREAK):
            if self.is_worked(found := day + number * ONE_DAY):
                return found
        raise ValueError(f"no working day within {LONGEST_BREAK} days from {day}: is the calendar's file right?")


@lru_cache(maxsize=1)
def working_calendar() -> WorkingCalendar:
    """The calendar in force, read once: `PORTALBUS_DAYS_OFF` if set, else the days shipped."""
    override = os.environ.get("PORTALBUS_DAYS_OFF")
    return WorkingCalendar.read(Path(override) if override else None)


def _exceptional_days(text: str, name: str) -> Iterable[ExceptionalDay]:
    reader = csv.DictReader(text.splitlines())
    for row in reader:
        try:
            yield ExceptionalDay(
                date.fromisoformat(row["date"]),
                DayKind(row["kind"]),
                *(row.get(column) or "" for column in COLUMNS[2:]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{name}, line {reader.line_num}: {error!r}; a line is a date such as 2027-02-05, and off or work"
            ) from error
