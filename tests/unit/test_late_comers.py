"""What the checker excuses is counted, and excused only where a gap says why."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bus_events import NOON
from late_comers import Asked, Heard, late_comers
from promises import BrokenPromise

HOLD = timedelta(seconds=25)
SOURCE = "H26/www"


def heard(sequence: int, second: float, judged: int, accepted: int | None = None) -> Heard:
    return Heard(SOURCE, 1, sequence, NOON + timedelta(seconds=second), judged, accepted or judged)


def asked_for_two(position: int = 2) -> list[Asked]:
    return [Asked(SOURCE, 1, 2, 2, position, NOON + timedelta(seconds=1))]


def test_what_came_in_time_and_took_effect_in_its_place_is_counted_as_having_come_late() -> None:
    found = late_comers(asked_for_two(), [heard(1, 0, 1), heard(3, 1, 3, 5), heard(2, 2, 4)], HOLD)
    assert (found.asked, found.came, found.took_effect, found.without_excuse) == (1, 1, 0, [])


def test_what_came_after_the_hold_may_take_effect_late() -> None:
    found = late_comers(asked_for_two(), [heard(1, 0, 1), heard(3, 1, 3), heard(2, 27, 4)], HOLD)
    assert (found.asked, found.came, found.took_effect, found.without_excuse) == (1, 1, 1, [])


@pytest.mark.parametrize(
    ("asked", "second"),
    [
        (asked_for_two(), 2),  # it came while the others had to wait for it
        (asked_for_two(position=9), 27),  # it was asked for when it was there already
        ([], 27),
    ],
)
def test_without_a_gap_that_says_why_nothing_may_be_late(asked: list[Asked], second: float) -> None:
    found = late_comers(asked, [heard(1, 0, 1), heard(3, 1, 3), heard(2, second, 4)], HOLD)
    with pytest.raises(BrokenPromise, match=r"H26/www \(1, 2\)"):
        found.must_be_excused()
