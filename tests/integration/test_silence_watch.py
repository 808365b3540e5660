"""The watch over a real ledger, with a clock of the test's own: months pass in a second."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from ledger_facts import one, rows
from ledger_rows import LedgerRows, directive
from portalbus.schemas.working_time import WorkingTime
from portalbus.schemas.zone import ZONE
from portalbus.streams.judgement.clocks import REMEMBERED
from portalbus.streams.silence.deadlines import Patience
from portalbus.streams.silence.watcher import Watcher

WORKING = WorkingTime.read()
MONDAY = date(2026, 3, 2)
MINUTE = timedelta(minutes=1)
DAY_MS = 86_400_000


class Days:
    """A ledger whose days are played through: what H26's portal says, and two workers that keep watch in turn."""

    def __init__(self, ledger: LedgerRows, patience: Patience) -> None:
        self.ledger = ledger
        self.look = psycopg.connect(ledger.database_url, autocommit=True)
        self.now = at(MONDAY, 8)
        self.heard: datetime | None = None
        self.published = 0
        self._watchers = [
            Watcher(ledger.database_url, self._heard_until, WORKING, patience=patience, clock=lambda: self.now)
            for _ in range(2)
        ]

    def close(self) -> None:
        for watcher in self._watchers:
            watcher.disconnect()
        self.look.close()

    def _heard_until(self) -> dict[str, datetime]:
        return {"lane.H26": self.heard or self.now}

    def watch(self, now: datetime) -> None:
        """One look of each worker at this moment."""
        self.now = now
        for watcher in self._watchers:
            watcher.look_now()

    def beat(self, now: datetime, interval_s: int = 60, canary_s: int = 0) -> None:
        """A manifest."""
        manifest = Jsonb({"interval_s": interval_s, "canary_s": canary_s})
        self.look.execute(
            "insert into ledger.source (agency, portal, first_heard_at, last_heard_at, manifest)"
            " values ('H26', 'www', %s, %s, %s) on conflict (agency, portal)"
            " do update set last_heard_at = excluded.last_heard_at, manifest = excluded.manifest",
            (now, now, manifest),
        )

    def clock(self, leads: list[int], newest_event: int = 0) -> None:
        """How far the last heartbeats and the newest event were ahead of the broker's clock, in milliseconds."""
        self.look.execute("update ledger.source set clock_leads = %s, clock_offset_ms = %s", (leads, newest_event))

    def canary(self, now: datetime, round_trip_ms: int = 300, unreturned: int = 0) -> None:
        self.look.execute(
            "insert into ledger.canary values ('H26', 'www', %s, %s, %s) on conflict (agency, portal) do update"
            " set heard_at = excluded.heard_at, round_trip_ms = excluded.round_trip_ms,"
            " unreturned = excluded.unreturned",
            (now, round_trip_ms, unreturned),
        )

    def publish(self, now: datetime) -> None:
        self.published += 1
        self.ledger.publish(directive(f"d-{self.published}"), "H26", now)

    def alerts(self) -> list[tuple[Any, ...]]:
        """Kind, event type and whether it is open, oldest first."""
        return rows(self.look, "select kind, event_type, closed_at is null from ledger.alert order by raised_at, kind")

    def told(self) -> int:
        return int(one(self.look, "select count(*) from ledger.notice where topic = 'central.alert'"))


@pytest.fixture
def days(ledger: LedgerRows) -> Iterator[Days]:
    found = Days(ledger, Patience(break_after=2_000))
    found.look.execute("truncate ledger.cadence, ledger.hearing, ledger.alert, ledger.canary, ledger.notice")
    found.look.execute("update ledger.watch set position = 0")
    yield found
    found.close()


def at(day: date, hour: float) -> datetime:
    return (datetime.combine(day, time(), ZONE) + timedelta(hours=hour)).astimezone(UTC)


def weeks_of_work(days: Days, first: date, count: int) -> date:
    """So many days with a directive at nine on each that is worked, and a heartbeat all day; returns the next day."""
    for number in range(count):
        day = first + timedelta(days=number)
        if WORKING.is_worked(day):
            days.publish(at(day, 9))
        through(days, day)
    return first + timedelta(days=count)


def through(days: Days, day: date) -> None:
    """A day in looks of half an hour from seven to six, with a heartbeat just before each."""
    for half in range(2 * 7, 2 * 18):
        days.beat(at(day, half / 2) - MINUTE)
        days.watch(at(day, half / 2))


def test_an_event_type_that_stops_while_the_source_lives_is_named_once_and_is_over_when_it_comes(days: Days) -> None:
    day = weeks_of_work(days, MONDAY, 36)
    assert days.alerts() == []
    expected_by = one(days.look, "select silent_by from ledger.cadence where event_type = 'DirectivePublished'")
    assert WORKING.between(at(day, 0), expected_by) < 3 * 36_000, "daily for five weeks: three days are too long"
    while not days.alerts() and day < date(2026, 6, 1):
        through(days, day)
        day += timedelta(days=1)
    assert days.alerts() == [("event-type.silent", "DirectivePublished", True)]
    raised_at = one(days.look, "select raised_at from ledger.alert")
    assert expected_by < raised_at <= expected_by + timedelta(hours=1)
    through(days, day)
    assert days.told() == 1
    state = "select state from ledger.cadence where event_type = 'DirectivePublished'"
    assert one(days.look, state) == "silent"
    days.publish(at(day + timedelta(days=1), 9))
    days.watch(at(day + timedelta(days=1), 9.1))
    assert days.alerts() == [("event-type.silent", "DirectivePublished", False)]
    assert (days.told(), one(days.look, state)) == (2, "ok")


def test_a_source_is_not_silent_while_the_centre_is_deaf(days: Days) -> None:
    start = at(MONDAY, 9)
    for minute in range(30):
        days.beat(start + minute * MINUTE)
        days.watch(start + minute * MINUTE)
    days.heard = start + 29 * MINUTE
    for minute in range(30, 90):
        days.watch(start + minute * MINUTE)
    assert days.alerts() == [("lane.unheard", "", True)]
    days.heard = None
    days.watch(start + 90 * MINUTE)  # the broker is there again, the portal not quite yet
    days.watch(start + 92 * MINUTE)
    days.beat(start + 93 * MINUTE)
    days.watch(start + 93 * MINUTE)
    assert days.alerts() == [("lane.unheard", "", False)]
    for minute in range(94, 104):
        days.watch(start + minute * MINUTE)
    assert days.alerts() == [("lane.unheard", "", False), ("source.silent", "", True)]


def test_a_source_that_flaps_has_one_alert(days: Days) -> None:
    start = at(MONDAY, 9)
    for minute in range(240):
        if minute % 10 < 4:  # four minutes up, six down
            days.beat(start + minute * MINUTE)
        days.watch(start + minute * MINUTE)
    assert days.alerts() == [("source.silent", "", True)]
    for minute in range(240, 250):
        days.beat(start + minute * MINUTE)
        days.watch(start + minute * MINUTE)
    assert days.alerts() == [("source.silent", "", False)]
    assert days.told() == 2


def test_a_service_that_said_good_bye_has_a_working_day_to_come_back(days: Days) -> None:
    for minute in range(0, 600, 5):
        days.beat(at(MONDAY, 7) + minute * MINUTE, interval_s=300)
        days.watch(at(MONDAY, 7) + minute * MINUTE)
    days.beat(at(MONDAY, 17), interval_s=0)
    tuesday, wednesday = MONDAY + timedelta(days=1), MONDAY + timedelta(days=2)
    days.watch(at(tuesday, 16.9))
    assert days.alerts() == []
    for minute in (0, 10):
        days.watch(at(wednesday, 8) + minute * MINUTE)
    assert days.alerts() == [("source.silent", "", True)]


def test_a_script_that_speaks_once_and_ends_is_no_silent_source(days: Days) -> None:
    days.beat(at(MONDAY, 9), interval_s=60)
    days.watch(at(MONDAY, 9))
    days.beat(at(MONDAY, 9.01), interval_s=0)
    for number in range(30):
        days.watch(at(MONDAY + timedelta(days=number), 10))
    assert days.alerts() == []


def test_a_canary_that_stays_away_or_does_not_return_is_named_while_the_heart_beats(days: Days) -> None:
    start = at(MONDAY, 9)

    def minutes(first: int, last: int, **canary: Any) -> None:
        for minute in range(first, last):
            days.beat(start + minute * MINUTE, canary_s=300)
            if canary and minute % 5 == 0:
                days.canary(start + minute * MINUTE, **canary)
            days.watch(start + minute * MINUTE)

    minutes(0, 30, round_trip_ms=300)
    assert days.alerts() == []
    minutes(30, 60)
    assert days.alerts() == [("canary.late", "", True)]
    minutes(60, 65, round_trip_ms=300)
    assert days.alerts() == [("canary.late", "", False)]
    minutes(65, 70, round_trip_ms=300, unreturned=3)
    assert days.alerts() == [("canary.late", "", False), ("canary.late", "", True)]


@pytest.mark.parametrize(("days_off", "said"), [(3, "+72:00"), (-3, "-72:00")])
def test_a_clock_that_is_off_is_named_once_and_is_over_when_it_is_right(days: Days, days_off: int, said: str) -> None:
    now, off, little = at(MONDAY, 9), days_off * DAY_MS, days_off // 3 * 70_000
    seen = []
    for leads in ([-20], [off - 20] * REMEMBERED, [off - 30] * REMEMBERED, [little], [-20]):
        days.beat(now)
        days.clock(leads)
        days.watch(now)
        seen.append(days.alerts())
    named, over = [("source.clock-off", "", True)], [("source.clock-off", "", False)]
    assert seen == [[], named, named, named, over], "70 s off is no reason to raise it, and none to end it"
    assert days.told() == 2
    assert f"H26/www is off by {said}" in one(days.look, "select message ->> 'en' from ledger.alert")


def test_heartbeats_that_an_outage_held_up_are_no_clock_that_is_behind(days: Days) -> None:
    for leads, heard_minutes_ago, interval_s in (
        ([-600_000] * REMEMBERED, 1, 60),  # more of them lie on the lane, and are not heard yet
        ([-600_000] * (REMEMBERED - 1), 0, 60),  # an older one may have been in time
        ([-600_000] * REMEMBERED, 0, 600),  # the last of them was made ten minutes before the way was free
    ):
        days.beat(at(MONDAY, 9), interval_s)
        days.clock(leads, newest_event=-DAY_MS)
        days.heard = at(MONDAY, 9) - heard_minutes_ago * MINUTE
        days.watch(at(MONDAY, 9))
        assert days.alerts() == []
    days.clock([], newest_event=DAY_MS)  # without heartbeats, an event that came before it was published proves it
    days.watch(at(MONDAY, 9))
    assert days.alerts() == [("source.clock-off", "", True)]


def test_a_clock_that_was_ahead_and_is_behind_is_told_anew(days: Days) -> None:
    for leads in ([DAY_MS], [-DAY_MS] * REMEMBERED, [-DAY_MS] * REMEMBERED):
        days.beat(at(MONDAY, 9))
        days.clock(leads)
        days.watch(at(MONDAY, 9))
    assert days.alerts() == [("source.clock-off", "", False), ("source.clock-off", "", True)]


def test_learning_the_same_events_again_changes_nothing(days: Days) -> None:
    weeks_of_work(days, MONDAY, 14)
    learned = "select event_type, memory, last_heard_at, silent_by from ledger.cadence order by event_type"
    before = rows(days.look, learned)
    days.look.execute("update ledger.watch set position = 0")
    days.watch(days.now)
    assert rows(days.look, learned) == before


def test_nobody_is_called_silent_before_everything_heard_is_learned(days: Days) -> None:
    weeks_of_work(days, MONDAY, 1)
    days.look.execute("update ledger.cadence set silent_by = %s, late_by = %s, quiet_by = %s", (days.now - MINUTE,) * 3)
    with psycopg.connect(days.ledger.database_url) as other:
        other.execute("select 1 from ledger.watch for update")
        days.watch(days.now + MINUTE)  # another worker keeps watch
        assert days.alerts() == []


def test_the_longest_pause_that_a_source_can_name_stops_nobodys_watch(days: Days) -> None:
    start = at(MONDAY, 8)
    days.beat(start, canary_s=2**31 - 1)
    days.canary(start)
    days.watch(start)
    days.watch(start + MINUTE)
    assert days.alerts() == []
