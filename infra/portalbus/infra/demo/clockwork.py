"""Carries out the steps of one actor at their time, in their order; stops when the demo is called off."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from portalbus.infra.demo.plan import Step


class Clockwork:
    """The pace of the day: `seconds` from its beginning to its end, once it is started."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._began = 0.0
        self._cancelled = threading.Event()
        self._failures: list[BaseException] = []

    def begin(self) -> None:
        """The day begins."""
        self._began = time.monotonic()

    def cancel(self) -> None:
        """Call the day off: every actor stops before its next step."""
        self._cancelled.set()

    @property
    def failures(self) -> list[BaseException]:
        """What actors ended with, instead of their last step."""
        return list(self._failures)

    def fail(self, error: BaseException) -> None:
        """Something that actors rest on has ended: the day is called off."""
        self._failures.append(error)
        self.cancel()

    @property
    def is_cancelled(self) -> bool:
        """Whether the day was called off."""
        return self._cancelled.is_set()

    def play(self, steps: Iterable[Step], act: Callable[[Step], None]) -> None:
        """Carry out each step at its time, or at once when the actor is late. A failure calls the day off."""
        try:
            for step in steps:
                if self._cancelled.wait(max(0.0, self._began + step.at * self.seconds - time.monotonic())):
                    return
                act(step)
        except BaseException as error:  # told to the one who runs the demo, in whose thread it is raised again
            self.fail(error)
