"""A simulated year of 34 provinces under the watch: planted surges found in time, hardly a false word."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from itertools import pairwise

import pytest

from feedback_season import FeedbackSeason, Planted
from watched_season import calendar, plant, watched_season

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1_800)]

FIRST, LEARNED, DAYS = date(2026, 1, 5), 28, 336
KNOWN = {3.0: (25.0, 60.0), 10.0: (10.0, 15.0)}
"""By times the usual: the least usual an hour at which it can be told from chance, and within how many minutes."""
STEPS = (0.0, 5.0, 10.0, 25.0, 1e9)


@pytest.mark.parametrize("seed", [31, 32])
def test_a_year_of_34_provinces(seed: int) -> None:
    season = FeedbackSeason(calendar(), seed)
    planted = plant(season, FIRST.fromordinal(FIRST.toordinal() + LEARNED), DAYS, seed)
    found = watched_season(season, FIRST, LEARNED, DAYS, planted)
    print(f"\n{found.feedbacks:,} feedbacks in {found.weeks:.0f} weeks, {len(planted)} surges planted")
    print(f"false: {len(found.false)}, {len(found.false) / found.weeks:.2f} a week in the country")
    _show(season, found.minutes, "itself, a part or a whole")
    _show(season, {one: found.exact.get(one) for one in planted}, "the very series")
    assert len(found.false) < found.weeks
    assert found.unended <= 1
    for one, minutes in found.minutes.items():
        least, within = KNOWN[one.times]
        if season.usual(one.series, one.begins) >= least:
            assert minutes is not None, one
            assert minutes <= within, (one, minutes)


def _show(season: FeedbackSeason, minutes_of: Mapping[Planted, float | None], what: str) -> None:
    print(f"told of {what}:")
    for times in KNOWN:
        for low, high in pairwise(STEPS):
            mine = [
                minutes
                for one, minutes in minutes_of.items()
                if one.times == times and low <= season.usual(one.series, one.begins) < high
            ]
            known = sorted(minutes for minutes in mine if minutes is not None)
            if mine:
                half = f"{known[len(known) // 2]:.0f}" if known else "–"
                longest = f"{known[-1]:.0f}" if known else "–"
                usual = f"{low:g} and more" if high > 1e6 else f"{low:g} to {high:g}"
                print(
                    f"{times:g} times, {usual} an hour: {len(known)} of {len(mine)} found, half within {half} min,"
                    f" longest {longest}"
                )
