"""Whose turn it is at casework's place: what is urgent goes first, and nobody else keeps the place for long."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

MOST_SECONDS = 2.0
"""So long the others wait for an urgent one: should it hang, they go on."""


class Turns:
    """Between two threads: whoever is not urgent lets the urgent one go ahead between its own transactions.

    The lock on the place's row cannot see to that: a session that lets go of it and asks again at once has it before
    one that has to wake up first.
    """

    def __init__(self, most_seconds: float = MOST_SECONDS) -> None:
        self._free = threading.Event()
        self._free.set()
        self._most_seconds = most_seconds

    @contextmanager
    def urgent(self) -> Iterator[None]:
        """Has the others wait when they have finished what they are at."""
        self._free.clear()
        try:
            yield
        finally:
            self._free.set()

    def let_urgent_ahead(self) -> None:
        """Waits while an urgent one wants the place."""
        self._free.wait(self._most_seconds)


class Portion:
    """How many at once, so that a transaction is over in about so many seconds: what was measured decides."""

    def __init__(self, most: int, seconds: float) -> None:
        self.size = max(1, most // 8)
        self._most = most
        self._seconds = seconds

    def took(self, count: int, seconds: float) -> None:
        """Learns how long so many took; a few say little about many, so the size grows by full portions only."""
        if seconds > self._seconds:
            self.size = max(1, min(self.size, int(count * max(self._seconds / seconds, 0.5))))
        elif count >= self.size:
            self.size = min(self._most, self.size + max(1, self.size // 8))
