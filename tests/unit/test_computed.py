"""Values that are computed when they are first asked for: once, and without a lock that a fork could leave behind."""

from __future__ import annotations

import os
import signal
import threading

from portalbus.schemas.computed import computed


class Answer:
    """Computes what it is told to."""

    def __init__(self, wait: threading.Event | None = None) -> None:
        self.asked = threading.Event()
        self.times = 0
        self._wait = wait

    @computed
    def value(self) -> int:
        """The answer."""
        self.times += 1
        self.asked.set()
        if self._wait is not None:
            self._wait.wait(30)
        return 42


def test_it_is_computed_once() -> None:
    answer = Answer()
    assert (answer.value, answer.value, answer.times) == (42, 42, 1)
    assert Answer.value.__doc__ == "The answer."


def test_a_process_forked_while_another_thread_computes_can_compute_as_well() -> None:
    enough = threading.Event()
    slow = Answer(enough)
    thread = threading.Thread(target=lambda: slow.value)
    thread.start()
    try:
        assert slow.asked.wait(10)
        if (pid := os.fork()) == 0:
            signal.alarm(5)
            os._exit(0 if Answer().value == 42 else 1)
        assert os.waitpid(pid, 0)[1] == 0
    finally:
        enough.set()
        thread.join()
