"""The watch over all series: counts what comes, learns each day, and says which surges begin, grow and end.

It knows no clock and no database: time is what it is told. Everything it holds follows from the feedbacks it was given,
so it is lost without harm.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from math import sqrt
from typing import NamedTuple

from portalbus.schemas.law.calendar import WorkingCalendar
from portalbus.streams.warning.days import ONE_DAY
from portalbus.streams.warning.history import HOURS, History
from portalbus.streams.warning.series import EVERY, NONE_SAID, Series
from portalbus.streams.warning.surge import CEILING, LEAST, NOTHING, Counter, Evidence, height

KEPT = timedelta(days=3)
"""How long single feedbacks are remembered: what a portal sends later than that is counted no more."""
LEARNED_AFTER = 2
"""A day is learned when two more have begun, so that late feedback is in it."""
EXAMPLES = 5
REMEMBERED_CODES = 40
TOLD_AGAIN = 2.0
"""A surge is told again when it has grown so many times since it was last told."""
MOSTLY = 0.6
LONGEST = timedelta(days=7)
"""A surge that lasts longer is no surge any more: it is closed, and what it brought has become usual."""
MOST_SERIES = 20_000
"""Fields are free text: what is said in more series than that is counted as of no field."""


class Change(StrEnum):
    """What becomes of a surge."""

    BEGINS = "begins"
    GROWS = "grows"
    ENDS = "ends"


class Surge(NamedTuple):
    """A surge that begins, grows or ends; `examples` are public codes of some of its cases."""

    change: Change
    series: Series
    since: datetime
    observed: int
    expected: float
    examples: tuple[str, ...]


@dataclass(slots=True)
class _Line:
    """What is usual for one series from a minute on, summed up; days are added as they come."""

    margin: float
    noise: float
    days: dict[int, tuple[float, list[float], list[float]]] = field(default_factory=dict)

    def upto(self, minute: int) -> float:
        day, rest = divmod(minute + SHIFT, DAY)
        known = self.days.get(day)
        if known is None:
            return next(iter(self.days.values()))[0] if not self.days or day < min(self.days) else self._end()
        base, sums, rates = known
        hour, minutes = divmod(rest, 60)
        return base + sums[hour] + rates[hour] * minutes / 60

    def extend(self, day: int, rates: list[float]) -> None:
        """Adds the next day."""
        base = self._end()
        sums = [0.0]
        for rate in rates:
            sums.append(sums[-1] + rate)
        self.days[day] = (base, sums, [*rates, 0.0])
        for old in [one for one in self.days if one < day - KEPT.days - 1]:
            del self.days[old]

    def _end(self) -> float:
        if not self.days:
            return 0.0
        base, sums, _ = self.days[max(self.days)]
        return base + sums[-1]


@dataclass(slots=True)
class _Watched:
    counter: Counter = field(default_factory=Counter)
    line: _Line | None = None
    codes: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=REMEMBERED_CODES))


@dataclass(slots=True)
class _Open:
    since: datetime
    told: int
    times: float


DAY = 24 * 60
SHIFT = 7 * 60
"""Minutes that Viet Nam is ahead of UTC; it has no summer time."""


class SurgeWatch:
    """Watches all series. `open_since` names surges that are open already, as after a restart."""

    def __init__(self, calendar: WorkingCalendar, open_since: Mapping[Series, datetime] | None = None) -> None:
        self.history = History(calendar)
        self._watched: dict[Series, _Watched] = {}
        self._dirty: set[Series] = set()
        self._open = {series: _Open(since, 0, 0.0) for series, since in (open_since or {}).items()}
        self._day: int | None = None

    def __len__(self) -> int:
        return len(self._watched)

    def learn(self, day: date, counts: Mapping[Series, Sequence[int]]) -> None:
        """Learns a day of the past: counts an hour of each series. In order, and before anything is counted."""
        self.history.learn(day, counts)

    def count(self, series: Series, received_at: datetime, code: str) -> None:
        """Counts one feedback, at the moment at which its portal received it; one of before `KEPT` is not counted."""
        minute = int(received_at.timestamp() // 60)
        if self._day is not None and minute < self._earliest:
            return
        if series not in self._watched and len(self._watched) >= MOST_SERIES:
            series = Series(NONE_SAID, NONE_SAID)
        wider = tuple(series.parents())
        if not self._open.keys().isdisjoint((series, *wider)):  # what an open surge brings speaks for no other one
            wider = tuple(one for one in wider if one in self._open)
        for one in (series, *wider):
            watched = self._watched.get(one)
            if watched is None:
                watched = self._watched[one] = _Watched()
            watched.counter.add(minute)
            watched.codes.append((minute, code))
            self._dirty.add(one)

    def turn_to(self, now: datetime) -> None:
        """It is this moment: days that are over are learned, and what came in days long past is counted no more."""
        self._turn_day((int(now.timestamp() // 60) + SHIFT) // DAY)

    def look(self, now: datetime) -> list[Surge]:
        """What changed up to a moment."""
        minute = int(now.timestamp() // 60)
        self.turn_to(now)
        looked = self._dirty | self._open.keys()
        self._dirty = set()
        if not self.history.is_known:
            return []
        wanted = height(self.history.weekly)
        judged = {series: self._judged(series, minute, wanted) for series in sorted(looked, key=_turn)}
        crossing = {
            series: evidence
            for series, evidence in judged.items()
            if series not in self._open and evidence.score >= wanted and evidence.observed >= LEAST
        }
        changes = [self._follow(series, judged[series], now) for series in judged if series in self._open]
        changes += [self._begin(series, evidence, crossing, minute) for series, evidence in crossing.items()]
        return [change for change in changes if change is not None]

    def _judged(self, series: Series, minute: int, wanted: float) -> Evidence:
        watched = self._watched.get(series)
        if watched is None:  # open since before a restart, and nothing was heard of it
            return NOTHING
        return watched.counter.judge(minute, self._line(series, watched), wanted * CEILING)

    def _begin(
        self, series: Series, evidence: Evidence, crossing: Mapping[Series, Evidence], minute: int
    ) -> Surge | None:
        """Opens a surge, unless a part or a whole of it explains it better."""
        if self._is_explained(series, evidence) or _is_of_a_part(series, evidence, crossing):
            return None
        since = _moment(evidence.since)
        self._open[series] = _Open(since, evidence.observed, evidence.times)
        self._relieve(series, minute, parts=False)
        examples = _examples(self._watched[series], evidence)
        return Surge(Change.BEGINS, series, since, evidence.observed, evidence.expected, examples)

    def _follow(self, series: Series, evidence: Evidence, now: datetime) -> Surge | None:
        opened = self._open[series]
        if evidence.score <= 0 or now - opened.since > LONGEST:
            ended = self._end(series, evidence)
            self._relieve(series, int(now.timestamp() // 60), parts=True)
            return ended
        opened.times = max(opened.times, evidence.times)
        if evidence.observed < TOLD_AGAIN * max(opened.told, LEAST):
            return None
        opened.told = evidence.observed
        examples = _examples(self._watched[series], evidence)
        return Surge(Change.GROWS, series, opened.since, evidence.observed, evidence.expected, examples)

    def _end(self, series: Series, evidence: Evidence) -> Surge:
        opened = self._open.pop(series)
        return Surge(Change.ENDS, series, opened.since, evidence.observed, evidence.expected, ())

    def _is_explained(self, series: Series, evidence: Evidence) -> bool:
        """True when a larger surge is open that brings as much: a country's flood is not told by province."""
        wider = [self._open[parent].times for parent in series.parents() if parent in self._open]
        surely = (evidence.observed - 2 * sqrt(evidence.observed)) / max(evidence.expected, 0.1)
        return bool(wider) and surely < 2 * max(wider)

    def _relieve(self, series: Series, minute: int, *, parts: bool) -> None:
        """What a surge has brought speaks for none of which it is a part; when it is over, nor for its parts."""
        for other, watched in self._watched.items():
            if other not in self._open and other.overlaps(series) and (parts or EVERY in other):
                watched.counter.reset(minute + 1)

    def _line(self, series: Series, watched: _Watched) -> _Line:
        if watched.line is None:
            watched.line = _Line(1.0, 1.0)
            if self._day is not None:
                self._extend(series, watched.line, range(self._day - KEPT.days, self._day + 1))
        return watched.line

    def _extend(self, series: Series, line: _Line, days: range) -> None:
        for number in days:
            day = _date(number)
            line.extend(number, self.history.expected(series, day))
            line.margin, line.noise = self.history.margin(series, day), self.history.noise(series)

    @property
    def _earliest(self) -> int:
        """The first minute that is remembered."""
        return ((self._day or 0) - KEPT.days) * DAY - SHIFT

    def _turn_day(self, day: int) -> None:
        """A new day begins: what came two days ago is learned, and what is usual today is worked out."""
        if self._day is None:
            self._day = day
        while self._day < day:
            self._day += 1
            learned = _date(self._day - LEARNED_AFTER)
            if self.history.last_day is None or self.history.last_day < learned:
                self.history.learn(learned, self._counts_of(self._day - LEARNED_AFTER))
            for series, watched in self._watched.items():
                watched.counter.forget(self._earliest)
                if watched.line is not None:
                    self._extend(series, watched.line, range(self._day, self._day + 1))

    def _counts_of(self, day: int) -> dict[Series, list[int]]:
        begin = day * DAY - SHIFT
        counts: dict[Series, list[int]] = {}
        for series, watched in self._watched.items():
            if EVERY in series:
                continue
            hours = [0] * HOURS
            for minute, count in watched.counter.minutes.items():
                if begin <= minute < begin + DAY:
                    hours[(minute - begin) // 60] += count
            if any(hours):
                counts[series] = hours
        return counts

    def open_surges(self) -> Iterator[Series]:
        """The series in which a surge is open."""
        yield from self._open


def _turn(series: Series) -> tuple[int, Series]:
    """A field or an area before its parts, and the whole country last, when all of them surge in the same minute."""
    return ((1, 0, 2)[series.count(EVERY)], series)


def _is_of_a_part(series: Series, evidence: Evidence, crossing: Mapping[Series, Evidence]) -> bool:
    """True when most of what came in a whole came in one part, which surges in the same minute."""
    return any(
        series in part.parents() and other.observed >= MOSTLY * evidence.observed for part, other in crossing.items()
    )


def _examples(watched: _Watched, evidence: Evidence) -> tuple[str, ...]:
    codes = [code for minute, code in watched.codes if minute >= evidence.since]
    return tuple(codes[-EXAMPLES:])


def _moment(minute: int) -> datetime:
    return datetime.fromtimestamp(minute * 60, UTC)


def _date(number: int) -> date:
    return date(1970, 1, 1) + number * ONE_DAY
