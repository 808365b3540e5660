"""A season of feedback under the watch: how soon planted surges were found, and what was told without reason."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from feedback_season import LARGE, FeedbackSeason, Planted
from portalbus.schemas.law.calendar import WorkingCalendar
from portalbus.schemas.zone import ZONE
from portalbus.streams.warning.series import EVERY, Series
from portalbus.streams.warning.watch import Change, Surge, SurgeWatch

DAY = timedelta(days=1)
AFTERWARDS = timedelta(hours=1)


@dataclass
class Season:
    """What came of a watched season: after how many minutes each surge was found, None if it was not.

    `minutes` counts the first word about any series that the surge touches: itself, a part or a whole of it.
    `exact` counts the word about the very series alone.
    """

    weeks: float
    minutes: dict[Planted, float | None]
    exact: dict[Planted, float | None] = field(default_factory=dict)
    false: list[tuple[datetime, Surge]] = field(default_factory=list)
    unended: int = 0
    feedbacks: int = 0


def watched_season(season: FeedbackSeason, first: date, learned: int, days: int, planted: Sequence[Planted]) -> Season:
    """Learns some days and watches the next ones, looking each minute in which something came."""
    watch = SurgeWatch(season.calendar)
    for number in range(learned):
        watch.learn(first + number * DAY, season.day(first + number * DAY))
    found = Season(days / 7, dict.fromkeys(planted))
    for number in range(learned, learned + days):
        minute: datetime | None = None
        for at, series in season.moments(first + number * DAY, planted):
            now = at.replace(second=0, microsecond=0)
            if minute is not None and now != minute:
                _note(found, minute + timedelta(minutes=1), watch.look(minute))
            minute = now
            watch.count(series, at, "0" * 12)
            found.feedbacks += 1
    found.unended = len(list(watch.open_surges()))
    return found


def plant(season: FeedbackSeason, first: date, days: int, seed: int) -> list[Planted]:
    """A surge of three or ten times the usual every few days, in working hours, in all kinds of series."""
    rnd = random.Random(seed)
    areas = sorted({series.area for series in season.series})
    fields = sorted({series.field for series in season.series})
    wanted = [series for series in season.series if series.area in LARGE]
    wanted += [Series(EVERY, area) for area in areas] + [Series(one, EVERY) for one in fields] * 3
    planted: list[Planted] = []
    day = first
    while (day := day + rnd.randint(2, 4) * DAY) < first + days * DAY:
        if season.calendar.is_worked(day):
            times = rnd.choice((3.0, 10.0))
            at = datetime(day.year, day.month, day.day, rnd.choice((8, 9, 13, 14, 15)), rnd.randint(0, 40), tzinfo=ZONE)
            planted.append(Planted(rnd.choice(wanted), at, 3 if times == 3 else 1, times))
    return planted


def _note(found: Season, now: datetime, surges: Sequence[Surge]) -> None:
    for surge in surges:
        if surge.change is not Change.BEGINS:
            continue
        causes = [one for one in found.minutes if _is_cause(one, surge.series, now)]
        for cause in causes:
            after = (now - cause.begins).total_seconds() / 60
            if found.minutes[cause] is None:
                found.minutes[cause] = after
            if cause.series == surge.series:
                found.exact.setdefault(cause, after)
        if not causes:
            found.false.append((now, surge))


def _is_cause(planted: Planted, series: Series, now: datetime) -> bool:
    ends = planted.begins + timedelta(hours=planted.hours) + AFTERWARDS
    return planted.begins <= now <= ends and planted.series.overlaps(series)


def calendar() -> WorkingCalendar:
    """The calendar shipped."""
    return WorkingCalendar.read()
