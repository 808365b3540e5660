"""The watchdog: when a worker has stalled, and when it only looks as if."""

from __future__ import annotations

import threading

import pytest

from portalbus.streams.edge.progress import LaneProgress
from portalbus.streams.edge.watchdog import StallDetector, Watchdog


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Watched:
    """A worker's progress with a detector that looks every second of the test's clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.progress = LaneProgress()
        self.progress.assigned({"lane.H26": 10, "lane.G01": 0})
        self.detector = StallDetector(self.progress, patience=60, lane_patience=300, clock=self.clock)

    def pass_time(self, seconds: int, *, loop_turns: bool = True) -> str | None:
        """Let time pass until the detector speaks."""
        for _ in range(seconds):
            self.clock.now += 1
            if loop_turns:
                self.progress.loop_beat()
            if reason := self.detector.look():
                return reason
        return None


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_an_idle_worker_has_not_stalled(watched: Watched) -> None:
    watched.progress.seen_ends({"lane.H26": 10})
    assert watched.pass_time(10_000) is None


def test_a_worker_with_work_and_no_progress_has_stalled_after_its_patience(watched: Watched) -> None:
    watched.progress.seen_ends({"lane.H26": 15})
    assert watched.pass_time(60) is None
    reason = watched.pass_time(1)
    assert reason == "5 records wait in 1 lanes and none was committed for 60 s"


def test_patience_begins_when_the_work_arrives(watched: Watched) -> None:
    watched.pass_time(1_000)
    watched.progress.seen_ends({"lane.H26": 15})
    assert watched.pass_time(59) is None


def test_every_commit_renews_the_patience(watched: Watched) -> None:
    watched.progress.seen_ends({"lane.H26": 1_000})
    for offset in range(11, 20):
        assert watched.pass_time(55) is None
        watched.progress.committed({"lane.H26": offset})


def test_a_handler_that_waits_for_its_database_and_says_so_has_not_stalled(watched: Watched) -> None:
    watched.progress.seen_ends({"lane.H26": 11})
    for _ in range(5):
        assert watched.pass_time(50) is None
        watched.progress.alive()


def test_one_lane_that_does_not_move_is_noticed_while_the_others_do(watched: Watched) -> None:
    watched.progress.seen_ends({"lane.H26": 11, "lane.G01": 10_000})
    reason = None
    for offset in range(1, 40):
        reason = reason or watched.pass_time(10)
        watched.progress.committed({"lane.G01": offset})
    assert reason == "lane.H26 has work and has not moved from offset 10 for 300 s"


def test_a_lane_does_not_count_the_time_for_which_the_database_was_away(watched: Watched) -> None:
    watched.progress.seen_ends({"lane.H26": 11})
    for _ in range(100):
        assert watched.pass_time(50) is None
        watched.progress.alive()


def test_an_event_loop_that_stands_still_is_noticed_even_without_work(watched: Watched) -> None:
    assert watched.pass_time(100) is None
    assert watched.pass_time(61, loop_turns=False) == "the event loop has not turned for 60 s"


def test_time_for_which_the_process_was_suspended_does_not_count(watched: Watched) -> None:
    watched.progress.seen_ends({"lane.H26": 15})
    watched.pass_time(30)
    watched.clock.now += 3_600
    assert watched.pass_time(59) is None
    assert watched.pass_time(2) is not None


def test_a_lane_that_was_given_away_is_not_watched(watched: Watched) -> None:
    watched.progress.seen_ends({"lane.H26": 15})
    watched.pass_time(50)
    watched.progress.assigned({"lane.G01": 0})
    assert watched.pass_time(1_000) is None


def test_the_watchdog_stops_the_process_from_its_own_thread() -> None:
    progress = LaneProgress()
    progress.assigned({"lane.H26": 0})
    progress.seen_ends({"lane.H26": 1})
    stopped = threading.Event()
    reasons: list[str] = []

    def fail_stop(reason: str, /, **where: object) -> None:
        reasons.append(reason)
        stopped.set()

    detector = StallDetector(progress, patience=0.0)
    watchdog = Watchdog(detector, interval=0.001, hard_limit=None, fail_stop=fail_stop)
    watchdog.start()
    assert stopped.wait(10)
    watchdog.stop()
    assert len(reasons) == 1
    assert reasons[0].startswith("the worker has stalled: 1 records wait in 1 lanes")
