"""Surges of feedback against their own history: what is found, how soon, and what is no surge."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import pytest

from feedback_season import FeedbackSeason, Planted
from portalbus.schemas.zone import ZONE
from portalbus.streams.warning.days import AFTER_BREAK, OFF, SATURDAY, class_of
from portalbus.streams.warning.history import History
from portalbus.streams.warning.series import COUNTRY, EVERY, Series
from portalbus.streams.warning.watch import Change, Surge, SurgeWatch
from watched_season import calendar, watched_season

FIRST, LEARNED = date(2026, 3, 2), 35
ROADS = Series("giao-thong", "01")
MONDAY = datetime(2026, 4, 6, tzinfo=ZONE)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def watch() -> SurgeWatch:
    """A watch that has learned five weeks of one series: 20 an hour in working hours, and some of another one."""
    found = SurgeWatch(calendar())
    for number in range(LEARNED):
        day = FIRST + timedelta(days=number)
        hours = [0] * 7 + [20] * 10 + [0] * 7 if calendar().is_worked(day) else [1] * 24
        found.learn(day, {ROADS: hours, Series("dat-dai", "79"): hours})
    return found


def brought(watch: SurgeWatch, series: Series, begin: datetime, minutes: int, every: float) -> Iterator[Surge]:
    """Feedback every so many seconds, and what the watch says each minute."""
    sent = 0.0
    for minute in range(minutes):
        while sent < (minute + 1) * 60:
            watch.count(series, begin + timedelta(seconds=sent), f"{int(sent):012}")
            sent += every
        yield from watch.look(begin + minute * MINUTE)


def test_surges_of_a_season_are_found_in_time_with_fewer_than_one_false_word_a_week() -> None:
    season = FeedbackSeason(calendar(), 7)
    large, flood = Series("moi-truong", EVERY), Series(EVERY, "79")
    planted = [
        Planted(large, datetime(2026, 4, 8, 9, 10, tzinfo=ZONE), 2, 3),
        Planted(flood, datetime(2026, 4, 14, 14, 5, tzinfo=ZONE), 1, 10),
    ]
    found = watched_season(season, FIRST, LEARNED, 14, planted)
    assert len(found.false) < found.weeks
    assert found.unended == 0
    assert (found.minutes[planted[0]] or 999) <= 60
    assert (found.minutes[planted[1]] or 999) <= 10


def test_a_surge_begins_grows_and_ends_with_its_evidence(watch: SurgeWatch) -> None:
    usual = list(brought(watch, ROADS, MONDAY + timedelta(hours=8), 60, 180))
    assert usual == []
    told = list(brought(watch, ROADS, MONDAY + timedelta(hours=9), 60, 18))
    assert [one.change for one in told][:2] == [Change.BEGINS, Change.GROWS]
    begins = told[0]
    assert begins.series == ROADS
    assert timedelta(0) <= begins.since - (MONDAY + timedelta(hours=9)) <= 2 * MINUTE
    assert begins.observed >= 3 * begins.expected
    assert 1 <= len(begins.examples) <= 5
    ended = list(brought(watch, ROADS, MONDAY + timedelta(hours=10), 5 * 60, 180))
    assert [one.change for one in ended] == [Change.ENDS]


def test_what_a_portal_sends_after_an_outage_is_no_surge(watch: SurgeWatch) -> None:
    begin = MONDAY + timedelta(hours=8)
    assert list(brought(watch, Series("dat-dai", "79"), begin, 180, 180)) == []
    for number in range(60):  # three hours of the usual, all of it told at eleven
        watch.count(ROADS, begin + number * 3 * MINUTE, "0" * 12)
    assert watch.look(begin + timedelta(hours=3)) == []


def test_a_surge_that_an_outage_held_back_is_found_when_it_is_told(watch: SurgeWatch) -> None:
    begin = MONDAY + timedelta(hours=8)
    assert list(brought(watch, Series("dat-dai", "79"), begin, 180, 180)) == []
    for number in range(400):
        watch.count(ROADS, begin + timedelta(seconds=27 * number), "0" * 12)
    assert [one.change for one in watch.look(begin + timedelta(hours=3))] == [Change.BEGINS]


def test_a_part_surges_and_the_whole_is_not_told_of_it(watch: SurgeWatch) -> None:
    told = list(brought(watch, ROADS, MONDAY + timedelta(hours=9), 120, 9))
    assert {one.series for one in told} == {ROADS}


def test_a_watch_that_knows_too_little_says_nothing() -> None:
    watch = SurgeWatch(calendar())
    for number in range(7):
        watch.learn(FIRST + timedelta(days=number), {ROADS: [1] * 24})
    assert list(brought(watch, ROADS, datetime(2026, 3, 9, 9, tzinfo=ZONE), 60, 5)) == []


def test_a_surge_open_before_a_restart_goes_on_or_ends(watch: SurgeWatch) -> None:
    again = SurgeWatch(calendar(), {ROADS: MONDAY})
    again.history = watch.history
    assert [one.change for one in again.look(MONDAY + timedelta(hours=9))] == [Change.ENDS]


def test_days_off_week_days_and_the_day_after_a_holiday_are_told_apart() -> None:
    days = calendar()
    assert class_of(days, date(2026, 4, 6)) == 0
    assert class_of(days, date(2026, 4, 4)) == SATURDAY
    assert class_of(days, date(2026, 2, 17)) == OFF, "Tết"
    assert class_of(days, date(2026, 2, 21)) == OFF, "the Saturday of Tết"
    assert class_of(days, date(2026, 2, 23)) == AFTER_BREAK


def test_history_follows_a_new_usual_and_does_not_learn_a_surge() -> None:
    history = History(calendar())
    day = FIRST
    for _ in range(28):
        history.learn(day, {ROADS: [10 if calendar().is_worked(day) else 2] * 24})
        day += timedelta(days=1)
    usual = sum(history.expected(ROADS, day))
    history.learn(day, {ROADS: [100] * 24})
    assert sum(history.expected(ROADS, day + timedelta(days=1))) < 1.3 * usual
    for number in range(1, 14):
        history.learn(day + timedelta(days=number), {ROADS: [30] * 24})
    assert sum(history.expected(ROADS, day + timedelta(days=14))) > 2 * usual
    assert sum(history.expected(COUNTRY, day)) > 0


def test_what_a_portal_sends_days_later_is_no_surge_of_long_ago(watch: SurgeWatch) -> None:
    begin = MONDAY + timedelta(hours=8)
    assert watch.look(begin) == []
    for number in range(40):
        watch.count(ROADS, begin - timedelta(days=365) + number * MINUTE, "0" * 12)
        watch.count(ROADS, datetime(1945, 9, 2, tzinfo=ZONE), "0" * 12)
    assert watch.look(begin + MINUTE) == []
