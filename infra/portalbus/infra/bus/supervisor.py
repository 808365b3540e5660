"""Keeps the processes of the bus alive: one that ends is started again, after a pause that grows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from portalbus.infra.bus.processes import EXIT_FAIL_STOP, EXIT_PARKING_STOPPED, BusProcess
from portalbus.infra.stack.errors import StackError

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
STEADY_S = 60.0
"""A process that has run this long has recovered: its pauses begin anew."""
MOST_REFUSALS = 5
"""A process that ends by itself this often in a row, other than by fail-stop, limit or signal, is misconfigured."""
LOOK_EVERY_S = 0.25


@dataclass
class Watched:
    """One process under supervision."""

    process: BusProcess
    started_at: float = field(default_factory=time.monotonic)
    restarts: int = 0
    refusals: int = 0
    pause_s: float = FIRST_PAUSE_S
    due_at: float | None = None
    failed: bool = False
    last_exit: int | None = None


class Supervisor:
    """Watches started processes in a thread of its own; `changed` is called after each change."""

    def __init__(self, processes: Sequence[BusProcess], changed: Callable[[], None] = lambda: None) -> None:
        self.watched = [Watched(process) for process in processes]
        self._changed = changed
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="portalbus-supervisor", daemon=True)

    def start(self) -> None:
        """Begin to watch; the processes are running already."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; returns when no process will be started any more."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _watch(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            for watched in self.watched:
                if not self._stopping.is_set() and not watched.failed:
                    self._look_at(watched, time.monotonic())

    def _look_at(self, watched: Watched, now: float) -> None:
        if watched.due_at is not None:
            if now >= watched.due_at:
                self._start_again(watched, now)
            return
        status = watched.process.ended_with()
        if status is not None:
            self._ended(watched, status, now)

    def _ended(self, watched: Watched, status: int, now: float) -> None:
        watched.last_exit = status
        if now - watched.started_at > STEADY_S:
            watched.pause_s, watched.refusals = FIRST_PAUSE_S, 0
        by_itself = status >= 0 and status not in (EXIT_FAIL_STOP, EXIT_PARKING_STOPPED)
        watched.refusals = watched.refusals + 1 if by_itself else 0
        if watched.refusals >= MOST_REFUSALS:
            watched.failed = True
        else:
            watched.due_at = now + watched.pause_s
            watched.pause_s = min(watched.pause_s * 2, LONGEST_PAUSE_S)
        self._changed()

    def _start_again(self, watched: Watched, now: float) -> None:
        watched.due_at = None
        watched.started_at = now
        watched.restarts += 1
        try:
            watched.process.respawn()
        except (StackError, OSError):
            watched.due_at = now + watched.pause_s
        self._changed()
