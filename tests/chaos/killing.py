"""A whole bus under load, and somebody who kills one part of it after the other at random instants."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Protocol

import psutil
import psycopg
from confluent_kafka import Consumer, KafkaException, TopicPartition

from bus_reading import BusReading
from history_checker import check, read_history
from history_recorder import HistoryFile, lane_lines, ledger_lines, outgoing_lines
from history_report import Report
from ledger_facts import assert_sound
from online_checker import EVERY_SECONDS, OnlineChecker
from portalbus.infra.bus.addresses import Addresses
from portalbus.infra.bus.bus import Bus
from portalbus.infra.stack.process import Service
from portalbus.schemas.registration import SchemaIds
from portalbus.schemas.registry import SchemaRegistry
from portalbus.streams.relaying.position import read_position

RETURN_SECONDS = 300.0
"""What is killed is up again after some seconds, or a hundred where others leave the machine a third of a core."""

FROZEN_SECONDS = 12.5
"""More than twice the session timeout of these tests, 6 s."""

PROGRAM = Path(__file__).with_name("publishing_portals.py")
OPEN_GAPS = "select count(*) from ledger.gap where state = 'open'"
OPEN_EVENTS = "select count(*) from ledger.event where not final"
NEXT_OFFSETS = "select agency, next_offset from ledger.lane"


class Addressed(Protocol):
    """A bus of which the addresses are known."""

    @property
    def addresses(self) -> Addresses:
        """Where its parts are."""


@dataclass
class Portals:
    """Processes of portals: some sources each, started again as soon as one has died."""

    bus: Addressed
    folder: Path
    sources: Sequence[str]
    processes: int
    rate: float
    seed: int = 0
    makes_up: float = 1.0
    """For how many seconds in which they were slow or not up they make up at once."""
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def history(self) -> Path:
        """What they write down."""
        return self.folder / "history.ndjson"

    def start(self) -> None:
        """Starts all of them."""
        self.running = [self._spawn(number) for number in range(self.processes)]

    def _spawn(self, number: int) -> subprocess.Popen[bytes]:
        addresses = self.bus.addresses
        mine = self.sources[number :: self.processes]
        where = (addresses.bootstrap, addresses.registry_url, str(self.folder / "outbox"), str(self.history))
        with (self.folder / f"portals-{number}.log").open("ab") as log:
            chance = (str(self.rate / self.processes), str(self.seed + number), str(time.time()), str(self.makes_up))
            return subprocess.Popen([sys.executable, str(PROGRAM), *where, *chance, *mine], stdout=log, stderr=log)

    def kill_one(self, random: Random) -> None:
        """kill -9, and up again."""
        number = random.randrange(self.processes)
        self.running[number].kill()
        self.running[number].wait()
        self.running[number] = self._spawn(number)

    def finish(self, within: float) -> None:
        """Stops publishing, and waits until everything is delivered."""
        for process in self.running:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + within
        for number, process in enumerate(self.running):
            code = process.wait(max(1.0, deadline - time.monotonic()))
            assert code == 0, (self.folder / f"portals-{number}.log").read_text()[-3_000:]

    def end(self) -> None:
        """Ends what still runs."""
        for process in self.running:
            if process.poll() is None:
                process.kill()
                process.wait()


class Killer:
    """Kills what is alive; of the services of the stack, which nobody watches, it starts a killed one again."""

    def __init__(self, bus: Bus, portals: Portals, random: Random) -> None:
        self._bus, self._portals, self._random = bus, portals, random
        self._returning: dict[str, Future[None]] = {}
        self._waking: list[threading.Timer] = []
        self._starting = ThreadPoolExecutor(thread_name_prefix="start")
        self.kills: Counter[str] = Counter()
        self.trace: list[str] = []

    def kill_all(self, planned: Iterable[str], pause: tuple[float, float], look: Callable[[], None]) -> None:
        """Kills one after the other, with a pause of so many seconds between them; what is down has its turn later.

        `look` is called between them, and ends it by raising.
        """
        rest = deque(planned)
        last = time.monotonic()
        while rest:
            time.sleep(self._random.uniform(*pause))  # the kill comes at any instant of the work
            look()
            what = rest.popleft()
            if self.kill(what):
                last = time.monotonic()
                continue
            rest.append(what)
            waited = time.monotonic() - last
            assert waited < RETURN_SECONDS, f"these do not come back to be killed again: {Counter(rest)}"

    def kill(self, what: str) -> bool:
        """Kills one of these: a worker, the relay, portals, postgres, kafka; or freezes a worker past its session."""
        actions: Mapping[str, Callable[[], bool]] = {
            "worker": lambda: self._kill_process("worker"),
            "relay": lambda: self._kill_process("relay"),
            "portals": self._kill_portals,
            "postgres": lambda: self._kill_service(self._bus.stack.postgres),
            "kafka": lambda: self._kill_service(self._bus.stack.kafka),
            "freeze": self._freeze,
        }
        done = actions[what]()
        if done:
            self.kills[what] += 1
            self.trace.append(f"{time.time():.3f} {what}")
        return done

    def _freeze(self) -> bool:
        """The lanes of the frozen worker go to the other one; when it wakes, both believe that they own them."""
        alive = self._alive("worker")
        if not alive:
            return False
        process = psutil.Process(self._random.choice(alive))
        process.suspend()

        def wake() -> None:
            with suppress(psutil.NoSuchProcess):
                process.resume()

        timer = threading.Timer(FROZEN_SECONDS, wake)
        timer.daemon = True
        timer.start()
        self._waking.append(timer)
        return True

    def _alive(self, name: str) -> list[int]:
        """Process ids; zombies and the frozen are not alive."""
        found = [one.pid for one in self._bus._processes if one.name.startswith(name) and one.pid is not None]
        alive = []
        for pid in found:
            with suppress(psutil.NoSuchProcess):
                if psutil.Process(pid).status() != psutil.STATUS_STOPPED:
                    alive.append(pid)
        return alive

    def _kill_process(self, name: str) -> bool:
        alive = self._alive(name)
        if not alive:
            return False
        with suppress(psutil.NoSuchProcess):
            psutil.Process(self._random.choice(alive)).kill()
            return True
        return False

    def _kill_portals(self) -> bool:
        self._portals.kill_one(self._random)
        return True

    def _kill_service(self, service: Service) -> bool:
        returned = self._returning.get(service.name)
        if returned is not None:
            if not returned.done():
                return False  # it is on its way back from the last time
            returned.result()
        service.kill()
        service.start_patience_s = RETURN_SECONDS
        self._returning[service.name] = self._starting.submit(service.start)
        return True

    def wait_for_services(self) -> None:
        """Waits until every service that was killed answers again, and every frozen worker has woken up."""
        for timer in self._waking:
            timer.join()
        for returned in self._returning.values():
            returned.result(RETURN_SECONDS)


def plan(random: Random, kills: Mapping[str, int]) -> list[str]:
    """What to kill, in a random order."""
    found = [name for name, count in kills.items() for _ in range(count)]
    random.shuffle(found)
    return found


def agencies_of(sources: Sequence[str]) -> list[str]:
    """The agencies of these sources, each once."""
    return list(dict.fromkeys(source.split("/")[0] for source in sources))


def until(holds: Callable[[], bool], what: str, within: float = RETURN_SECONDS) -> float:
    """Polls until something holds; returns how many seconds that took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < within, f"{what}: not within {within:g} s"
        time.sleep(0.1)
    return time.monotonic() - began


def acknowledged(portals: Portals) -> int:
    """How many events were promised so far."""
    return portals.history.read_bytes().count(b'"acknowledged"') if portals.history.exists() else 0


def wait_for_rest(bus: Bus, agencies: Sequence[str], within: float) -> float:
    """Waits until everything on the lanes is judged and sent; returns how many seconds that took."""
    began = time.monotonic()
    rest = "nothing was looked at"
    while time.monotonic() - began < within:
        rest = unrest(bus, agencies)
        if not rest:
            return time.monotonic() - began
        time.sleep(0.5)
    logs = "\n".join(f"--- {p.name}\n{p.log.read_text(errors='replace')[-2_000:]}" for p in bus._processes[:3])
    raise AssertionError(f"no rest within {within:g} s: {rest}\n{logs}")


def unrest(bus: Addressed, agencies: Sequence[str], tolerated: int = 0) -> str:
    """What is still to be done; empty when nothing is, or not more records than are `tolerated` under load."""
    try:
        return _unrest(bus, agencies, tolerated)
    except (KafkaException, psycopg.OperationalError) as error:  # a moment after a start
        return f"no answer yet: {error}"


def _unrest(bus: Addressed, agencies: Sequence[str], tolerated: int) -> str:
    with psycopg.connect(bus.addresses.database_url, autocommit=True) as ledger:
        ends = lane_ends(bus.addresses.bootstrap, agencies)
        nexts: dict[str, int] = dict(ledger.execute(NEXT_OFFSETS).fetchall())
        behind = {agency: end - nexts.get(agency, 0) for agency, end in ends.items() if nexts.get(agency, 0) < end}
        open_events = ledger.execute(OPEN_EVENTS).fetchone()
        gaps = ledger.execute(OPEN_GAPS).fetchone()
        end = ledger.execute("select next - 1 from ledger.position").fetchone()
    if tolerated and sum(behind.values()) <= tolerated:
        return ""
    if behind or open_events != (0,) or gaps != (0,):
        return f"records behind {behind}, open events {open_events}, open gaps {gaps}"
    sent = read_position(bus.addresses.bootstrap)
    return "" if (sent,) == end else f"the relay is at {sent} of {end}"


def lane_ends(bootstrap: str, agencies: Sequence[str]) -> dict[str, int]:
    """Where each lane ends now."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "ends"})
    try:
        return {
            agency: consumer.get_watermark_offsets(TopicPartition(f"lane.{agency}", 0), timeout=30)[1]
            for agency in agencies
        }
    finally:
        consumer.close()


def judging_meanwhile(
    bus: Addressed, history: Path, agencies: Sequence[str], context: Callable[[], str], every: float = EVERY_SECONDS
) -> OnlineChecker:
    """A checker that judges while everything is being broken; `context` says what was broken so far."""
    return OnlineChecker(BusReading(bus.addresses, agencies, history), context=context, every=every)


def judged_history(bus: Addressed, history: Path, agencies: Sequence[str]) -> Report:
    """Adds what lanes, ledger and topics hold to the history, and has it checked.

    For portals that say only what is sound: what was refused of it counts as lost.
    """
    file = HistoryFile(history)
    with psycopg.connect(bus.addresses.database_url, autocommit=True) as ledger:
        assert_sound(ledger)
        file.put(ledger_lines(ledger))
    writers = SchemaIds(SchemaRegistry(bus.addresses.registry_url)).lane_writers()
    file.put(lane_lines(bus.addresses.bootstrap, agencies, writers))
    file.put(outgoing_lines(bus.addresses.bootstrap, agencies))
    file.close()
    return check(read_history(history), all_sound=True)
