"""A simulated season of feedback: 34 provinces, fields, week-days, Tết, days that differ; and surges planted in it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import exp

from portalbus.schemas.law.calendar import WorkingCalendar
from portalbus.schemas.zone import ZONE
from portalbus.streams.warning.days import AFTER_BREAK, OFF, class_of
from portalbus.streams.warning.places import provinces
from portalbus.streams.warning.series import Series

A_YEAR = 1_500_000
"""Feedbacks a year in the whole country: the sizing of the bus."""
FIELDS = {
    "giao-thong": 0.26, "moi-truong": 0.20, "dat-dai": 0.16, "xay-dung": 0.12, "y-te": 0.09, "giao-duc": 0.08,
    "dien-nuoc": 0.06, "khac": 0.03,
}  # fmt: skip
LARGE = {"01": 0.12, "79": 0.14, "31": 0.05, "48": 0.05}
"""Shares of the large cities; the other provinces share the rest, unevenly."""
BY_CLASS = {0: 1.25, 1: 1.1, 2: 1.0, 3: 1.0, 4: 0.95, 5: 0.45, 6: 0.35, AFTER_BREAK: 1.7, OFF: 0.2}
OFFICE = (0.2, 0.1, 0.1, 0.1, 0.2, 0.6, 2, 6, 11, 11, 9, 5, 4, 7, 9, 9, 7, 4, 3, 3.5, 3, 2, 1, 0.4)
ROAD = (0.3, 0.2, 0.1, 0.1, 0.3, 1, 5, 9, 8, 6, 5, 5, 4, 5, 6, 6, 9, 10, 7, 5, 3, 2, 1.5, 0.5)
DAY_SPREAD, COUNTRY_SPREAD, HOUR_SHAPE = 0.12, 0.05, 30.0


@dataclass(frozen=True)
class Planted:
    """A surge: so many times the usual in every series that it covers, from a moment on for some hours."""

    series: Series
    begins: datetime
    hours: float
    times: float

    def covers(self, series: Series) -> bool:
        return all(mine in ("*", theirs) for mine, theirs in zip(self.series, series, strict=True))


class FeedbackSeason:
    """What citizens write, drawn from habits that the watch knows nothing of."""

    def __init__(self, calendar: WorkingCalendar, seed: int, a_year: int = A_YEAR) -> None:
        self.calendar = calendar
        self._random = random.Random(seed)
        self._areas = self._shares()
        a_day = a_year / (250 * 1.06 + 104 * 0.4 + 11 * 0.2)
        self._base = {
            Series(field, area): a_day * share * wide
            for field, share in FIELDS.items()
            for area, wide in self._areas.items()
        }
        self._own = {area: self._random.uniform(0.8, 1.2) for area in self._areas}

    @property
    def series(self) -> list[Series]:
        """Every field in every area."""
        return list(self._base)

    def usual(self, series: Series, moment: datetime) -> float:
        """Feedbacks an hour that are usual at a moment, of a series or of all that it holds."""
        local = moment.astimezone(ZONE)
        day = BY_CLASS[class_of(self.calendar, local.date())]
        whole = Planted(series, moment, 0, 1)
        return sum(base * day * _shape(one.field)[local.hour] for one, base in self._base.items() if whole.covers(one))

    def day(self, day: date, planted: Iterable[Planted] = ()) -> dict[Series, list[int]]:
        """Counts an hour of one day, for each series that has any."""
        rnd = self._random
        factor = BY_CLASS[class_of(self.calendar, day)] * exp(rnd.gauss(0, COUNTRY_SPREAD))
        areas = {area: exp(rnd.gauss(0, DAY_SPREAD)) for area in self._areas}
        fields = {field: exp(rnd.gauss(0, DAY_SPREAD / 2)) for field in FIELDS}
        begin = datetime(day.year, day.month, day.day, tzinfo=ZONE)
        active = [one for one in planted if one.begins < begin + timedelta(days=1) and _end(one) > begin]
        counts: dict[Series, list[int]] = {}
        for series, base in self._base.items():
            mean = base * factor * areas[series.area] * fields[series.field]
            hours = [
                _poisson(rnd, mean * share * rnd.gammavariate(HOUR_SHAPE, 1 / HOUR_SHAPE))
                for share in _shape(series.field)
            ]
            if any(hours) or any(one.covers(series) for one in active):
                counts[series] = hours
        return counts

    def moments(self, day: date, planted: Iterable[Planted] = ()) -> list[tuple[datetime, Series]]:
        """The feedbacks of one day in order, those of planted surges among them."""
        begin = datetime(day.year, day.month, day.day, tzinfo=ZONE)
        found = [
            (begin + timedelta(hours=hour, seconds=self._random.uniform(0, 3_600)), series)
            for series, hours in self.day(day).items()
            for hour, count in enumerate(hours)
            for _ in range(count)
        ]
        for one in planted:
            found += self._more(one, begin)
        return sorted(found)

    def _more(self, one: Planted, begin: datetime) -> Iterator[tuple[datetime, Series]]:
        """What a surge brings on top of the usual, on the day that begins then."""
        for hour in range(24):
            start, end = begin + timedelta(hours=hour), begin + timedelta(hours=hour + 1)
            start, end = max(start, one.begins), min(end, _end(one))
            seconds = (end - start).total_seconds()
            if seconds <= 0:
                continue
            for series in self._base:
                if one.covers(series):
                    more = self.usual(series, start) * (one.times - 1) * seconds / 3_600
                    for _ in range(_poisson(self._random, more)):
                        yield start + timedelta(seconds=self._random.uniform(0, seconds)), series

    def _shares(self) -> Mapping[str, float]:
        others = {area: self._random.lognormvariate(0, 0.5) for area in sorted(provinces()) if area not in LARGE}
        rest = (1 - sum(LARGE.values())) / sum(others.values())
        return {**LARGE, **{area: weight * rest for area, weight in others.items()}}


def _shape(field: str) -> tuple[float, ...]:
    shape = ROAD if field in ("giao-thong", "dien-nuoc") else OFFICE
    whole = sum(shape)
    return tuple(share / whole for share in shape)


def _end(one: Planted) -> datetime:
    return one.begins + timedelta(hours=one.hours)


def _poisson(rnd: random.Random, mean: float) -> int:
    if mean <= 0:
        return 0
    if mean > 40:
        return max(0, round(rnd.gauss(mean, mean**0.5)))
    limit, product, count = exp(-mean), rnd.random(), 0
    while product > limit:
        product *= rnd.random()
        count += 1
    return count
