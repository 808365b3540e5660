"""robots.txt of each host (RFC 9309), asked for once a day."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from protego import Protego

from portalbus.connectors.pull.kind import ReadFailed

KEPT_SECONDS = 24 * 3_600.0
UNREACHABLE_SECONDS = 15 * 60.0


class Robots:
    """What each host asks of robots. Shared by threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, Protego | None]] = {}

    def allow(self, url: str, agent: str, fetch: Callable[[str], tuple[int, bytes]]) -> bool:
        """Whether an address may be read; `fetch` gives status and content of the robots.txt.

        A host without one allows everything; one that cannot give it (5xx) allows nothing until it can, so what
        `fetch` raises is passed on.
        """
        parts = urlsplit(url)
        origin = f"{parts.scheme.lower()}://{parts.netloc.lower()}"
        rules = self._rules(origin, fetch)
        return rules is None or bool(rules.can_fetch(url, agent))

    def pause(self, origin: str, agent: str) -> float:
        """The pause in seconds that a known robots.txt asks for; 0 for none."""
        _, rules = self._known.get(origin, (0.0, None))
        return float(rules.crawl_delay(agent) or 0.0) if rules is not None else 0.0

    def _rules(self, origin: str, fetch: Callable[[str], tuple[int, bytes]]) -> Protego | None:
        with self._lock:
            until, rules = self._known.get(origin, (0.0, None))
        if until > self._clock():
            return rules
        try:
            status, content = fetch(f"{origin}/robots.txt")
        except ReadFailed as failed:
            if not failed.refused:
                raise
            status, content = 403, b""  # 4xx: the host says nothing to robots (RFC 9309, 2.3.1.3)
        rules = Protego.parse(content.decode("utf-8", errors="replace")) if status == 200 else None
        with self._lock:
            self._known[origin] = (self._clock() + KEPT_SECONDS, rules)
        return rules
