"""Working time: which days are worked, how much time lies between two moments, and what a year without data does."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalbus.schemas.working_time import DAY_SECONDS, WorkingTime
from portalbus.schemas.zone import ZONE

WORKING = WorkingTime.read()
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2035, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("day", "worked"),
    [
        (date(2026, 11, 20), True),
        (date(2026, 11, 21), False),  # a Saturday
        (date(2026, 11, 24), False),  # the new day of culture
        (date(2026, 2, 18), False),  # Tết
        (date(2026, 4, 26), False),
        (date(2026, 4, 27), False),  # makes up for the Hùng Kings' day on a Sunday
        (date(2026, 8, 31), False),  # off, and worked on the Saturday before
        (date(2026, 8, 22), True),
        (date(2025, 4, 26), True),
    ],
)
def test_these_days_are_worked_or_off(day: date, worked: bool) -> None:
    assert WORKING.is_worked(day) is worked


def test_a_year_without_data_is_off_wherever_tet_may_fall_and_on_the_days_fixed_by_law() -> None:
    assert not WORKING.knows(2040)
    assert not any(WORKING.is_worked(date(2040, 1, 20) + timedelta(days=number)) for number in range(37))
    assert not WORKING.is_worked(date(2040, 4, 30))
    assert WORKING.is_worked(date(2040, 3, 1)) and WORKING.is_worked(date(2040, 5, 2))


def test_the_data_of_this_year_and_the_next_are_there_with_their_sources() -> None:
    assert all(WORKING.knows(year) for year in range(2024, 2032))


def test_an_installation_brings_its_own_days(tmp_path: Path) -> None:
    own = tmp_path / "days.csv"
    own.write_text("date,kind,name_vi,source,confidence\n2026-11-23,off,Nghỉ bão,Công điện,high\n", encoding="utf-8")
    assert not WorkingTime.read(own).is_worked(date(2026, 11, 23))


def test_tet_is_no_working_time() -> None:
    before, after = datetime(2026, 2, 13, 17, 30, tzinfo=ZONE), datetime(2026, 2, 23, 7, 30, tzinfo=ZONE)
    assert WORKING.between(before, after) == 0
    assert WORKING.between(before - timedelta(hours=1), after + timedelta(hours=2)) == 3 * 3_600


@given(MOMENTS, st.integers(0, 200 * DAY_SECONDS))
def test_after_is_the_first_moment_at_which_so_much_has_passed(start: datetime, seconds: int) -> None:
    end = WORKING.after(start, seconds)
    assert end >= start
    assert WORKING.between(start, end) == seconds
    if seconds:
        assert WORKING.between(start, end - timedelta(seconds=1)) < seconds


@given(MOMENTS, MOMENTS, MOMENTS)
def test_working_time_adds_up_and_never_exceeds_time(first: datetime, second: datetime, third: datetime) -> None:
    first, second, third = sorted((first, second, third))
    assert WORKING.between(first, second) + WORKING.between(second, third) == WORKING.between(first, third)
    assert 0 <= WORKING.between(first, third) <= (third - first).total_seconds() + 1
