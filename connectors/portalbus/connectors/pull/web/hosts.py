"""How often a host may be asked: one request at a time, a pause between two, a budget an hour, rest after failures."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from portalbus.connectors.pull.config import WebBounds
from portalbus.connectors.pull.kind import NotYet

HOUR = 3_600.0
FIRST_REST = 60.0
LONGEST_REST = 6 * HOUR
LONGEST_PAUSE = 30.0
"""A robots.txt may ask for longer pauses than that; a pass would never end."""
PATIENCE = 5.0
"""So long one portal waits for another one of the same host."""


@dataclass(slots=True)
class _Host:
    lock: threading.Lock = field(default_factory=threading.Lock)
    asked: deque[float] = field(default_factory=deque)
    next_at: float = 0.0
    pause: float = 0.0
    failures: int = 0
    rests_until: float = 0.0


class Hosts:
    """All hosts that this process reads; shared by its threads. Times are monotonic seconds."""

    def __init__(self, bounds: WebBounds, clock: Callable[[], float] = time.monotonic) -> None:
        self._bounds = bounds
        self._clock = clock
        self._lock = threading.Lock()
        self._hosts: dict[str, _Host] = {}

    @contextmanager
    def turn(self, origin: str) -> Iterator[None]:
        """One request to a host. Raises NotYet when it is not the time for one."""
        host = self._host(origin)
        self._check(origin, host)
        if not host.lock.acquire(timeout=PATIENCE):
            raise NotYet(origin, "another portal of this host is being read", retry_after=PATIENCE * 2)
        try:
            self._check(origin, host)
            while (wait := host.next_at - self._clock()) > 0:
                time.sleep(wait)
            host.asked.append(self._clock())
            yield
        finally:
            host.next_at = self._clock() + max(self._bounds.pause, host.pause)
            host.lock.release()

    def went_well(self, origin: str) -> None:
        """The host answered as it should."""
        self._host(origin).failures = 0

    def failed(self, origin: str, retry_after: float | None = None) -> None:
        """The host did not answer, or asked to be left alone for `retry_after` seconds: it is given a rest."""
        host = self._host(origin)
        host.failures += 1
        rest = min(FIRST_REST * 2 ** (host.failures - 1), LONGEST_REST) * random.uniform(0.8, 1.2)  # noqa: S311
        host.rests_until = self._clock() + min(max(rest, retry_after or 0), LONGEST_REST * 4)

    def pause(self, origin: str, seconds: float) -> None:
        """The host's robots.txt asks for a pause between two requests."""
        self._host(origin).pause = min(seconds, LONGEST_PAUSE)

    def forget(self) -> None:
        """Lets every host be asked again at once, as after a restart."""
        with self._lock:
            self._hosts.clear()

    def _check(self, origin: str, host: _Host) -> None:
        now = self._clock()
        if host.rests_until > now:
            left = host.rests_until - now
            raise NotYet(origin, f"it rests for {left:.0f} s after {host.failures} failures", retry_after=left)
        while host.asked and host.asked[0] <= now - HOUR:
            host.asked.popleft()
        if len(host.asked) >= self._bounds.per_host_hour:
            left = host.asked[0] + HOUR - now
            what = f"the budget of {self._bounds.per_host_hour} requests an hour is used up"
            raise NotYet(origin, what, "Raise web.per_host_hour if the host agrees", retry_after=left)

    def _host(self, origin: str) -> _Host:
        with self._lock:
            return self._hosts.setdefault(origin, _Host())
