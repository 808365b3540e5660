"""A quarter of 43 sources with Tết, through a real ledger and the watch that the workers keep.

Who is switched off is named at the bound of its own cadence, and the others are left alone. What the bounds are worth
is measured in `unit/test_silence_season.py`, on many more seasons.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from random import Random

import pytest
from structlog.testing import capture_logs

from ledger_facts import one
from ledger_rows import LedgerRows
from portalbus.schemas.directory import directory
from portalbus.schemas.working_time import DAY_SECONDS, WorkingTime
from promises import promised
from season_watch import Kind, SeasonWatch
from seeds import fresh_seed
from silence_season import EVENT_TYPES, Manner

FIRST = date(2026, 1, 29)
"""A quarter from here holds Tết (16 to 20 February), the Hùng Kings' day with its substitute, and Reunification Day."""
QUARTER, SWITCHED_OFF_ON = 90, 60
SOON, IN_TIME = (datetime.combine(FIRST + timedelta(days=days), time(), UTC) for days in (SWITCHED_OFF_ON, QUARTER - 2))
WORKING = WorkingTime.read()
HEARD = "select last_heard_at from ledger.cadence where agency = %s and event_type = %s"


@pytest.mark.parametrize(
    ("sources", "known_for", "every_minutes", "at_most"),
    [
        pytest.param(6, 0, 120, 2, id="short"),  # of so few, one may well have three
        pytest.param(43, 0, 30, 1, id="from nothing", marks=[pytest.mark.chaos, pytest.mark.timeout(1_800)]),
        pytest.param(43, 120, 30, 1, id="known for four months", marks=[pytest.mark.chaos, pytest.mark.timeout(3_600)]),
    ],
)
def test_what_is_switched_off_is_named_within_its_bound_and_nothing_else_too_often(
    ledger: LedgerRows, sources: int, known_for: int, every_minutes: int, at_most: int
) -> None:
    seed = fresh_seed("a season")
    random, every = Random(seed), timedelta(minutes=every_minutes)
    agencies = [agency.code for agency in directory().current(FIRST)[:sources]]
    begin = FIRST - timedelta(days=known_for)
    said = {
        Kind(agency, name): Manner.drawn(random).events(random, begin, known_for + QUARTER, WORKING)
        for agency in agencies
        for name in EVENT_TYPES
    }
    season = SeasonWatch(ledger.database_url, WORKING, said)
    try:
        with capture_logs():  # each alert would be a line
            season.play(begin, known_for + SWITCHED_OFF_ON, every)
            bounds = season.bounds()
            off = random.choice(sorted(kind for kind, by in bounds.items() if SOON < by < IN_TIME))
            season.switch_off(off)
            heard: datetime = one(season.look, HEARD, *off)
            before = season.alerts()
            season.play(FIRST + timedelta(days=SWITCHED_OFF_ON), QUARTER - SWITCHED_OFF_ON, every)
        after = season.alerts()[len(before) :]
        others = season.other_alerts()
    finally:
        season.close()
    named = [at for kind, at in after if kind == off]
    false = [at for _, at in before if at.date() >= FIRST] + [at for kind, at in after if kind != off]
    bound, silence = (WORKING.between(heard, at) / DAY_SECONDS for at in (bounds[off], [*named, heard][0]))
    print(
        f"\nseed {seed}: {sources} sources, {QUARTER} days, {season.events} events, {season.looks} looks:"
        f" {off.event_type} of {off.agency} switched off, named {silence:.2f} working days after its last event (bound"
        f" {bound:.2f}); {len(false)} false alarms, {len(false) / sources:.2f} a source"
    )
    with promised():
        assert len(named) == 1, "it was not named, or more than once"
        assert bound <= silence <= bound + every.total_seconds() / DAY_SECONDS
        assert others == 0, "something was called silent that was not"
    assert len(false) < at_most * sources
