"""Everything at once: one to six faults of any kind together, again and again, from a seed; test 7 of the design.

What they do is judged while they happen: a broken promise ends the run within seconds, with what happened up to then.
`PORTALBUS_SOUP_MINUTES` says how long (15).
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import NamedTuple

import psutil
import pytest

from killing import (
    FROZEN_SECONDS,
    RETURN_SECONDS,
    Portals,
    agencies_of,
    judged_history,
    judging_meanwhile,
    unrest,
    wait_for_rest,
)
from portalbus.infra.bus import supervisor
from portalbus.infra.bus.bus import Bus
from portalbus.infra.bus.processes import bus_processes
from portalbus.infra.stack.process import Service
from portalbus.schemas.directory import directory
from seeds import fresh_seed
from small_disks import SmallDisks, fill, make_room, may_mount, restarted

RATE = 240.0
PROCESSES = 4
WORKERS = 2
AGENCIES = [agency.code for agency in directory().current(datetime.now(UTC).date())[:10]]
SOURCES = [f"{agency}/{portal}" for agency in AGENCIES for portal in ("www", "edu")]
KILLED = ("worker", "relay", "portals", "postgres", "kafka", "registry")
LASTING = ("freeze", "join", "postgres-disk", "kafka-disk")
MOST_AT_ONCE = 6
LOOK_SECONDS = 1.0
DISK_MEGABYTES = 4_000
"""Room for what is published in a quarter of an hour; only a fault fills it."""


class Fault(NamedTuple):
    """One fault of an episode: it begins after `delay` seconds and lasts for so many, if it lasts."""

    kind: str
    delay: float
    seconds: float


def episode(random: Random, kinds: list[str]) -> list[Fault]:
    """One to six faults of different kinds, at nearly the same time."""
    chosen = random.sample(kinds, random.randint(1, min(MOST_AT_ONCE, len(kinds))))
    return [Fault(kind, random.uniform(0, 2), random.uniform(2, 8)) for kind in chosen]


class Soup:
    """Has faults happen to a bus whose services are started again whenever they end, as an init system does it."""

    def __init__(self, bus: Bus, portals: Portals, random: Random, *, disks: bool) -> None:
        self._bus, self._portals, self._random = bus, portals, random
        self._services: dict[str, Service] = {
            "postgres": bus.stack.postgres,
            "kafka": bus.stack.kafka,
            "registry": bus.stack.registry,
        }
        self._data = {"postgres-disk": bus.stack.postgres.data, "kafka-disk": bus.stack.kafka.data}
        self.kinds = [*KILLED, *(kind for kind in LASTING if disks or kind not in self._data)]
        self.happened: Counter[str] = Counter()
        self.trace: list[str] = []

    def cook(self, seconds: float, look: Callable[[], None]) -> None:
        """Episode after episode for so long, or until `look` raises; all faults are over when it is left."""
        ends = time.monotonic() + seconds
        with ThreadPoolExecutor(MOST_AT_ONCE, "fault") as threads:
            while time.monotonic() < ends:
                faults = episode(self._random, self.kinds)
                self.trace.append(f"{time.time():.3f} {' + '.join(fault.kind for fault in faults)}")
                happening = [threads.submit(self._happen, fault) for fault in faults]
                gives_up = time.monotonic() + RETURN_SECONDS
                while wait(happening, LOOK_SECONDS).not_done:
                    look()
                    assert time.monotonic() < gives_up, self.trace[-1]
                for done in happening:
                    done.result()
                time.sleep(self._random.uniform(0, 4))
                look()

    def _happen(self, fault: Fault) -> None:
        time.sleep(fault.delay)
        self.happened[fault.kind] += 1
        if fault.kind in self._services:
            self._services[fault.kind].kill()
        elif fault.kind in self._data:
            fill(self._data[fault.kind])
            time.sleep(fault.seconds)
            make_room(self._data[fault.kind], DISK_MEGABYTES)
        elif fault.kind == "portals":
            self._portals.kill_one(self._random)
        elif fault.kind == "join":
            self._join(fault.seconds)
        else:
            self._strike(fault.kind)

    def _strike(self, kind: str) -> None:
        """kill -9 of a worker or the relay, or a worker that is frozen past its session."""
        name = "worker" if kind == "freeze" else kind
        for process in self._random.sample(self._bus._processes, len(self._bus._processes)):
            if process.name.startswith(name) and process.pid is not None:
                with suppress(psutil.NoSuchProcess):
                    found = psutil.Process(process.pid)
                    if kind != "freeze":
                        return found.kill()
                    found.suspend()
                    time.sleep(FROZEN_SECONDS)
                    found.resume()
                return None
        return None

    def _join(self, seconds: float) -> None:
        """One more worker comes, and goes again, by SIGTERM or by kill -9."""
        *_, worker = (
            one for one in bus_processes(self._bus.state, self._bus.addresses, WORKERS + 1) if "worker" in one.name
        )
        worker.respawn()
        time.sleep(seconds)
        self._random.choice((worker.stop, worker.kill))()


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bus]:
    monkeypatch.setenv("PORTALBUS_SESSION_TIMEOUT", "6")
    monkeypatch.setattr(supervisor, "LONGEST_PAUSE_S", 1.0)
    with SmallDisks() as disks, Bus(tmp_path / "bus", workers=WORKERS, usual_ports=None) as bus:
        if may_mount(tmp_path):
            disks.move(bus.stack.postgres, bus.stack.postgres.data, DISK_MEGABYTES)
            disks.move(bus.stack.kafka, bus.stack.kafka.data, DISK_MEGABYTES)
        yield bus


def eat(bus: Bus, folder: Path, seconds: float, lag_seconds: float) -> int:
    """Cooks for so long, and judges what came of it; returns how many events were acknowledged.

    So soon after the last fault the lanes are judged up to a moment ago.
    """
    seed = fresh_seed("the soup")
    portals = Portals(bus, folder, SOURCES, PROCESSES, RATE, seed)
    soup = Soup(bus, portals, Random(seed), disks=may_mount(folder))

    def context() -> str:
        return "\n".join([f"seed {seed}", *soup.trace])

    portals.start()
    try:
        with ExitStack() as watched:
            for service in (bus.stack.postgres, bus.stack.kafka, bus.stack.registry):
                service.start_patience_s = RETURN_SECONDS
                watched.enter_context(restarted(service))
            online = watched.enter_context(judging_meanwhile(bus, portals.history, agencies_of(SOURCES), context))
            soup.cook(seconds, online.must_be_clean)
            began = time.monotonic()
            while behind := unrest(bus, AGENCIES, tolerated=round(RATE)):
                online.must_be_clean()
                assert time.monotonic() - began < lag_seconds, f"{behind}\n{online.figures()}\n{context()}"
                time.sleep(0.5)
            caught_up = time.monotonic() - began
            portals.finish(within=RETURN_SECONDS)
            wait_for_rest(bus, agencies_of(SOURCES), within=RETURN_SECONDS)
            online.finish(within=RETURN_SECONDS)
    finally:
        portals.end()
    report = judged_history(bus, portals.history, agencies_of(SOURCES))
    happened = ", ".join(f"{count} {kind}" for kind, count in soup.happened.items())
    print(
        f"\nseed {seed}: {soup.happened.total()} faults in {len(soup.trace)} episodes ({happened}) in {seconds:.0f} s;"
    )
    print(f"the lanes judged up to a moment ago {caught_up:.1f} s after the last one: {report.figures()};")
    print(online.figures())
    report.must_be_clean(context())
    online.must_have_seen(report)
    assert bus.failed() == []
    return report.seen["acknowledged"]


@pytest.mark.timeout(900)
def test_faults_of_any_kind_together_break_no_promise(bus: Bus, tmp_path: Path) -> None:
    assert eat(bus, tmp_path, 10.0, RETURN_SECONDS) > 500


@pytest.mark.chaos
@pytest.mark.timeout(3_600)
def test_a_quarter_of_an_hour_of_faults_together_breaks_no_promise(bus: Bus, tmp_path: Path) -> None:
    minutes = float(os.environ.get("PORTALBUS_SOUP_MINUTES", "15"))
    assert eat(bus, tmp_path, minutes * 60, 60.0) > 100 * minutes * 60
