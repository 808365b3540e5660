"""The process that reads many portals: who is due, in which threads, and an orderly end."""

from __future__ import annotations

import fcntl
import heapq
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue

from portalbus.connectors.pull import logs
from portalbus.connectors.pull.config import PullConfig
from portalbus.connectors.pull.config_file import ConfigWrong
from portalbus.connectors.pull.entry import Entry, entries
from portalbus.connectors.pull.kind import Surroundings
from portalbus.connectors.pull.passing import PassReport, Speaker, make_pass
from portalbus.connectors.pull.secrets import secret
from portalbus.connectors.pull.web.client import Web
from portalbus.connectors.pull.workers import Workers
from portalbus.producers import Portal
from portalbus.schemas.errors import PortalbusError
from portalbus.schemas.kafka_settings import kafka_from_env

SLOW_SECONDS = 10.0
"""A portal whose pass took longer, or failed, waits in a queue of its own: it holds up nobody but its like."""
STOP_SECONDS = 20.0
LONGEST_SLEEP = 60.0
HEARING_SECONDS = 1.0
"""A signal that comes just before a wait, or to another thread, does not end the wait: so none is longer."""


def utc_now() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)


def surroundings(web: Web, clock: Callable[[], datetime] = utc_now) -> Surroundings:
    """What every source may use."""
    return Surroundings(clock, web.client, secret)


@contextmanager
def speakers(config: PullConfig, bootstrap: str, registry: str) -> Iterator[Mapping[str, Portal]]:
    """The SDK's portal of each source, speaking: heartbeats begin here, and end with the context."""
    kafka = kafka_from_env() | {name: secret(value) for name, value in config.kafka.items()}
    with ExitStack() as open_:
        found: dict[str, Portal] = {}
        for entry in config.portals:
            if entry.source not in found:
                portal = Portal(
                    entry.agency,
                    entry.portal,
                    bootstrap=bootstrap,
                    registry_url=registry,
                    outbox=config.outbox,
                    kafka=kafka,
                    on_verdict=partial(logs.heard, entry.source),
                )
                found[entry.source] = open_.enter_context(portal)
        yield found


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Holds the memory folder for this process. Raises ConfigWrong when another one has it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    place = os.open(folder / "running.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ConfigWrong([f"{folder} is used by another `portalbus connect run`: end it first"]) from None
    finally:
        os.close(place)


class Runner:
    """Reads the portals of a configuration, each when it is due."""

    def __init__(
        self,
        config: PullConfig,
        speaking: Mapping[str, Speaker],
        web: Web,
        clock: Callable[[], datetime] = utc_now,
        hear: Callable[[PassReport], None] = lambda report: None,
    ) -> None:
        """`hear` is told of each pass that ended, in the thread that runs this."""
        self._entries = entries(config)
        self._hear = hear
        self._speaking = speaking
        self._web = web
        self._surroundings = surroundings(web, clock)
        self._quick = Workers(config.workers, "pull")
        self._slow = Workers(max(config.workers // 4, 2), "pull-slow")
        self._done: SimpleQueue[tuple[int, PassReport] | None] = SimpleQueue()
        self._trouble: set[int] = set()
        self._stopping = False

    def run(self) -> None:
        """Reads until `stop()`; what is being read then is given a moment to end."""
        logs.logger().info(logs.STARTED, portals=len(self._entries))
        due = [(self._first_due(entry), number) for number, entry in enumerate(self._entries)]
        heapq.heapify(due)
        running = 0
        while not self._stopping:
            while due and due[0][0] <= time.monotonic():
                self._begin(heapq.heappop(due)[1])
                running += 1
            wait = min(due[0][0] - time.monotonic(), HEARING_SECONDS) if due else HEARING_SECONDS
            for number, report in self._finished(max(wait, 0.0)):
                running -= 1
                heapq.heappush(due, (time.monotonic() + report.due_in, number))
        self._drain(running)
        logs.logger().info(logs.STOPPED)

    def once(self) -> Sequence[PassReport]:
        """One pass over every portal, in parallel; the reports in the order of the configuration."""
        for number in range(len(self._entries)):
            self._begin(number)
        reports: dict[int, PassReport] = {}
        while len(reports) < len(self._entries) and not self._stopping:
            reports.update(self._finished(HEARING_SECONDS))
        return [reports[number] for number in sorted(reports)]

    def stop(self) -> None:
        """Ends `run` and whatever is being read; may be called from a signal handler."""
        self._stopping = True
        self._web.stop()
        self._done.put(None)

    def _begin(self, number: int) -> None:
        entry = self._entries[number]
        workers = self._slow if number in self._trouble else self._quick
        workers.put(lambda: self._pass(number, entry))

    def _pass(self, number: int, entry: Entry) -> None:
        self._done.put((number, make_pass(entry, self._surroundings, self._speaking[entry.config.source])))

    def _finished(self, wait: float) -> list[tuple[int, PassReport]]:
        """The passes that ended within `wait` seconds, at least one unless there is none; they are told."""
        try:
            found = [self._done.get(timeout=wait)]
            while not self._done.empty():
                found.append(self._done.get())
        except Empty:
            return []
        reports = [one for one in found if one is not None]
        for number, report in reports:
            if not self._stopping or not report.failed:
                logs.tell(report)
                self._hear(report)
            troubled = bool(report.failed) or report.seconds > SLOW_SECONDS
            (self._trouble.add if troubled else self._trouble.discard)(number)
        return reports

    def _drain(self, running: int) -> None:
        deadline = time.monotonic() + STOP_SECONDS
        while running and (left := deadline - time.monotonic()) > 0:
            running -= len(self._finished(left))

    def _first_due(self, entry: Entry) -> float:
        """When an entry is due, on the monotonic clock; at once when its settings changed or nobody knows."""
        try:
            _, standing = entry.memory.load()
        except PortalbusError:
            return time.monotonic()
        if standing.due_at is None or standing.settings not in ("", entry.settings):
            return time.monotonic()
        left = (standing.due_at - self._surroundings.clock()).total_seconds()
        return time.monotonic() + min(max(left, 0.0), max(entry.config.every, LONGEST_SLEEP))
