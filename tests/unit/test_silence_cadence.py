"""What a cadence makes of gaps: bursts, few data, monthly sources, outages and new habits."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portalbus.schemas.working_time import DAY_SECONDS, WorkingTime
from portalbus.streams.silence.cadence import FLOORS, Cadence, State, bin_of, lower_edge_of
from portalbus.streams.silence.deadlines import (
    PATIENCE,
    Deadlines,
    absence_deadlines,
    event_type_deadlines,
    promised_deadlines,
)

DAY = DAY_SECONDS
WORKING = WorkingTime.read()
GAPS = st.lists(st.floats(0, 60 * DAY, allow_nan=False), max_size=80)


def learned(*gaps: float) -> Cadence:
    cadence = Cadence()
    for gap in gaps:
        cadence.learn(gap)
    return cadence


def silent_after(cadence: Cadence) -> float:
    bound = cadence.bound(State.SILENT)
    assert bound is not None
    return bound


def test_nothing_is_said_about_what_is_hardly_known() -> None:
    assert learned(5 * DAY, 5 * DAY).bound(State.SILENT) is None
    assert learned(*[3_600.0] * 20).bound(State.SILENT) is None, "twenty gaps, but all of two days"
    assert learned().state(1e9) is State.OK


def test_a_monthly_source_is_known_after_three_months_and_held_to_months() -> None:
    assert 22 * DAY < silent_after(learned(21 * DAY, 20 * DAY, 22 * DAY)) < 70 * DAY


def test_the_longer_a_regular_source_is_known_the_tighter_its_bound() -> None:
    bounds = [silent_after(learned(*[5.0 * DAY] * count)) for count in (3, 6, 12, 40)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] < 7 * DAY


def test_bursts_do_not_hide_the_gaps_between_them() -> None:
    burst = [10.0] * 30
    weekly = [gap for _ in range(12) for gap in (*burst, 5.0 * DAY)]
    assert 5.5 * DAY < silent_after(learned(*weekly)) < 12 * DAY


def test_a_busy_source_is_named_within_hours_but_never_within_minutes() -> None:
    random = Random(1)
    busy = learned(*(random.expovariate(1 / 60) for _ in range(20_000)))
    assert silent_after(busy) == FLOORS.silent


def test_one_outage_is_pardoned_and_a_second_one_is_a_new_habit() -> None:
    daily = [float(DAY)] * 40
    before = silent_after(learned(*daily))
    assert silent_after(learned(*daily, 15.0 * DAY)) == pytest.approx(before, rel=0.05)
    assert silent_after(learned(*daily, 15.0 * DAY, DAY, 15.0 * DAY)) > 15 * DAY


def test_an_old_habit_is_forgotten() -> None:
    slow_then_daily = learned(*[10.0 * DAY] * 20, *[float(DAY)] * 600)
    assert silent_after(slow_then_daily) < 10 * DAY


@given(GAPS)
@settings(max_examples=200)
def test_states_follow_in_order_and_the_memory_is_bounded(gaps: list[float]) -> None:
    cadence = learned(*gaps)
    bounds = [cadence.bound(state) for state in (State.QUIET, State.LATE, State.SILENT)]
    assert len({bound is None for bound in bounds}) == 1
    if cadence.known:
        known = [bound for bound in bounds if bound is not None]
        assert known == sorted(known)
        assert known[-1] >= FLOORS.silent
        severities = [cadence.state(silence).severity for silence in (0, *known, known[-1] + 1)]
        assert severities == sorted(severities)
        assert cadence.state(known[-1] + 1) is State.SILENT
    assert len(cadence.gaps) < 200


@given(GAPS)
@settings(max_examples=200)
def test_what_was_stored_learns_on_as_if_it_had_not_been(gaps: list[float]) -> None:
    half = len(gaps) // 2
    stored = Cadence.from_json(json.loads(json.dumps(learned(*gaps[:half]).as_json())))
    for gap in gaps[half:]:
        stored.learn(gap)
    whole = learned(*gaps)
    assert stored.known == whole.known
    if whole.known:
        assert stored.bound(State.SILENT) == pytest.approx(silent_after(whole), rel=0.02)


@given(st.floats(0, 400 * DAY, allow_nan=False))
def test_a_gap_lies_in_its_bin(gap: float) -> None:
    place = bin_of(gap)
    assert lower_edge_of(place) <= gap * (1 + 1e-9)
    assert gap < lower_edge_of(place + 1) * (1 + 1e-9)


def test_deadlines_pass_over_tet() -> None:
    heard_at = datetime(2026, 2, 13, 9, 0, tzinfo=UTC)  # Friday afternoon before Tết
    by = event_type_deadlines(learned(*[float(DAY)] * 40), heard_at, WORKING)
    assert by.silent is not None
    assert datetime(2026, 2, 24, tzinfo=UTC) < by.silent < datetime(2026, 2, 26, tzinfo=UTC)


def test_a_promise_is_kept_by_the_clock_on_the_wall_and_broken_after_minutes() -> None:
    heard_at = datetime(2026, 2, 17, 1, 0, tzinfo=UTC)  # the first day of Tết
    by = promised_deadlines(60, heard_at)
    assert by.silent == heard_at + timedelta(minutes=5)
    assert promised_deadlines(600, heard_at).silent == heard_at + timedelta(minutes=50)
    assert [by.state_at(heard_at + timedelta(seconds=seconds)) for seconds in (120, 121, 181, 300, 301)] == [
        State.OK,
        State.QUIET,
        State.LATE,
        State.LATE,
        State.SILENT,
    ]


def test_who_promised_nothing_is_held_to_its_absences_once_they_are_known() -> None:
    heard_at = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
    assert absence_deadlines(Cadence(), False, heard_at, WORKING, PATIENCE) == Deadlines()
    assert absence_deadlines(Cadence(), True, heard_at, WORKING, PATIENCE).silent == heard_at + timedelta(days=1)
    weekly = absence_deadlines(learned(*[5.0 * DAY] * 8), True, heard_at, WORKING, PATIENCE)
    assert weekly.silent is not None and weekly.silent > heard_at + timedelta(days=7)
