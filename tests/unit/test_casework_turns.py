"""The ordinary lets the urgent go ahead, and keeps the place for no longer than it should."""

from __future__ import annotations

import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from portalbus.streams.casework.turns import Portion, Turns


def test_nobody_waits_where_nothing_is_urgent() -> None:
    began = time.monotonic()
    Turns(most_seconds=60).let_urgent_ahead()
    assert time.monotonic() - began < 1


def test_the_ordinary_waits_until_the_urgent_is_done() -> None:
    turns, done = Turns(most_seconds=60), list[str]()
    waiting = threading.Event()

    def ordinary() -> None:
        waiting.set()
        turns.let_urgent_ahead()
        done.append("ordinary")

    with turns.urgent():
        thread = threading.Thread(target=ordinary)
        thread.start()
        assert waiting.wait(10)
        thread.join(0.05)
        done.append("urgent")
    thread.join(10)
    assert done == ["urgent", "ordinary"]


def test_an_urgent_one_that_hangs_does_not_hold_up_the_others_for_ever() -> None:
    turns = Turns(most_seconds=0.01)
    with turns.urgent():
        turns.let_urgent_ahead()


def test_an_urgent_one_that_fails_gives_the_place_back() -> None:
    turns = Turns(most_seconds=60)
    try:
        with turns.urgent():
            raise ValueError
    except ValueError:
        began = time.monotonic()
    turns.let_urgent_ahead()
    assert time.monotonic() - began < 1


@given(st.floats(1e-6, 0.05), st.integers(1, 5_000))
def test_a_portion_comes_to_take_the_time_that_it_may(seconds_each: float, most: int) -> None:
    portion = Portion(most, 0.2)
    for _ in range(60):
        portion.took(portion.size, portion.size * seconds_each)
    assert 1 <= portion.size <= most
    assert portion.size == most or 0.1 <= portion.size * seconds_each <= 0.26


def test_a_few_that_were_quick_do_not_make_a_portion_grow() -> None:
    portion = Portion(80, 0.2)
    portion.took(3, 0.001)
    assert portion.size == 10


def test_one_that_takes_too_long_by_itself_is_still_a_portion() -> None:
    portion = Portion(8, 0.2)
    for _ in range(5):
        portion.took(portion.size, 9.0)
    assert portion.size == 1
