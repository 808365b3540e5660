"""Ends a worker that has work and makes no progress. It runs in a thread, so that a stuck event loop is seen too."""

from __future__ import annotations

import faulthandler
import sys
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from portalbus.streams.edge.failstop import FailStop, fail_stop
from portalbus.streams.edge.progress import LaneProgress

Clock = Callable[[], float]


class StallDetector:
    """Tells from the worker's progress whether it has stalled; pure but for the clock.

    The worker has stalled when its lanes have work and nothing was committed for ``patience`` seconds, when a single
    lane has work and did not move for ``lane_patience`` seconds, or when the event loop did not turn for
    ``patience`` seconds. Time during which nobody looked (the process was suspended) does not count.
    """

    def __init__(
        self,
        progress: LaneProgress,
        *,
        patience: float = 60.0,
        lane_patience: float = 900.0,
        longest_look_away: float = 10.0,
        clock: Clock = time.monotonic,
    ) -> None:
        self._progress = progress
        self._patience = patience
        self._lane_patience = lane_patience
        self._longest_look_away = longest_look_away
        self._clock = clock
        self._looked_at = clock()
        self._commits = _Mark(-1, self._looked_at)
        self._loop = _Mark(-1, self._looked_at)
        self._lanes: dict[str, _Mark] = {}
        self._excuses = -1

    def look(self) -> str | None:
        """Return why the worker has stalled, or None; to be called every second or so."""
        now = self._clock()
        seen = self._progress.snapshot()
        if now - self._looked_at > self._longest_look_away:
            self._forget(now)
            self._loop = _Mark(self._loop.value, now)
        if seen.excuses != self._excuses:
            self._excuses = seen.excuses
            self._forget(now)
        self._looked_at = now
        late = {lane: at for lane, at in seen.lanes.items() if at.lag}
        self._loop = self._loop.at(seen.loop_beats, now)
        self._commits = self._commits.at(seen.commits, now) if late else _Mark(seen.commits, now)
        self._lanes = {
            lane: self._lanes.get(lane, _Mark(at.next_offset, now)).at(at.next_offset, now) for lane, at in late.items()
        }
        return self._verdict(now, sum(at.lag for at in late.values()))

    def _verdict(self, now: float, lag: int) -> str | None:
        if now - self._commits.since >= self._patience:
            return f"{lag} records wait in {len(self._lanes)} lanes and none was committed for {self._patience:g} s"
        if self._loop.value > 0 and now - self._loop.since >= self._patience:
            return f"the event loop has not turned for {self._patience:g} s"
        for lane, mark in self._lanes.items():
            if now - mark.since >= self._lane_patience:
                return f"{lane} has work and has not moved from offset {mark.value} for {self._lane_patience:g} s"
        return None

    def _forget(self, now: float) -> None:
        self._commits = _Mark(self._commits.value, now)
        self._lanes = {lane: _Mark(mark.value, now) for lane, mark in self._lanes.items()}


class _Mark(NamedTuple):
    """A value, and since when it has been the same."""

    value: int
    since: float

    def at(self, value: int, now: float) -> _Mark:
        """Return the mark after a look that found ``value``."""
        return self if value == self.value else _Mark(value, now)


class Watchdog:
    """The thread that looks, once a second, and ends the process when the detector says so.

    A native call that never lets go of the interpreter would stop this thread as well; against that, the
    interpreter's own dead man's switch is set, and put off with every look.
    """

    def __init__(
        self,
        detector: StallDetector,
        *,
        interval: float = 1.0,
        hard_limit: float | None = 180.0,
        fail_stop: FailStop = fail_stop,
    ) -> None:
        self._detector = detector
        self._interval = interval
        self._hard_limit = hard_limit
        self._fail_stop = fail_stop
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            if self._hard_limit is not None:
                faulthandler.dump_traceback_later(self._hard_limit, exit=True, file=sys.__stderr__ or sys.stderr)
            if reason := self._detector.look():
                self._fail_stop(f"the worker has stalled: {reason}")
                break
        if self._hard_limit is not None:
            faulthandler.cancel_dump_traceback_later()
