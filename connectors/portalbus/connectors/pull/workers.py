"""A few threads that work off a queue; the process may end while they still wait for somebody."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue


class Workers:
    """`count` daemon threads. What they run must not raise."""

    def __init__(self, count: int, name: str) -> None:
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        for number in range(count):
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True).start()

    def put(self, work: Callable[[], None]) -> None:
        """Lets one of them do this."""
        self._work.put(work)

    def _run(self) -> None:
        while True:
            self._work.get()()
