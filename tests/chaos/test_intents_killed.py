"""kill -9 at every step of a portal with a database, to the ledger: committed ⇔ published exactly once."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from intent_portals import ENGINES, KINDS, IntentPortal, fresh_database, fresh_postgresql, rolled_back
from ledger_facts import rows
from portal_events import feedback
from portalbus.infra.stack import Endpoints
from whole_bus import Bus

SUPPORT = Path(__file__).parents[1] / "support"
RELAYS, KILLS = 2, 2
COMBINATIONS = [f"{kind}-{engine}" for kind in KINDS for engine in ENGINES]
QUICK = ("sqlalchemy-mariadb", "django-postgresql")
FORMS = [
    *((name, 4) for name in QUICK),
    *(pytest.param(name, 1, marks=pytest.mark.chaos) for name in COMBINATIONS),
]
"""With how many steps between two kills; where it begins is chance."""


@pytest.fixture(scope="module")
def bus(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path_factory.mktemp("bus"), ("H26",)).open()
    bus.start_worker()
    bus.start_relay()
    yield bus
    bus.close()


class RelayProcess:
    """A relay as its operator starts it."""

    def __init__(self, bus: Bus, kind: str, url: str, name: str, folder: Path) -> None:
        self._like_this = (bus, kind, url, name, folder)
        self.log = folder / f"relay-{time.monotonic_ns()}.log"
        environment = {
            **os.environ,
            "PORTALBUS_AGENCY": "H26",
            "PORTALBUS_PORTAL": name,
            "PORTALBUS_OUTBOX": str(folder / "outbox"),
            "PORTALBUS_BOOTSTRAP": bus.endpoints.bootstrap,
            "PORTALBUS_REGISTRY": bus.endpoints.registry_url,
        }
        command = [sys.executable, str(SUPPORT / "intent_relay_process.py"), kind, url]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def again(self) -> RelayProcess:
        """Another one like this."""
        return RelayProcess(*self._like_this)

    @property
    def relays(self) -> bool:
        """True once it has begun."""
        assert self.process.poll() is None, self.log.read_text()
        return "relaying H26/" in self.log.read_text()

    def kill(self) -> None:
        """Ends it as a power cut of the process would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Ends it in an orderly way."""
        self.process.terminate()
        assert self.process.wait(20) == 0, self.log.read_text()


@pytest.mark.parametrize(("combination", "stride"), FORMS)
def test_killed_at_every_step_what_is_committed_is_in_the_ledger_once_and_nothing_else(
    bus: Bus, combination: str, stride: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    kind, engine = combination.split("-")
    postgresql = fresh_postgresql(bus.endpoints.database_url)
    first = (COMBINATIONS.index(combination) + 10 * (stride == 1)) * 10_000
    name = f"{combination}-{stride}"
    with postgresql if engine == "postgresql" else fresh_database(engine, request, tmp_path) as url:
        steps = killed_at_every_step(kind, url, tmp_path / "outbox", name, first, stride)
        portal = KINDS[kind](url, name)
        kill_relays_at_work(bus, portal, [RelayProcess(bus, kind, url, name, tmp_path) for _ in range(RELAYS)])
        committed = {f"H26-2026-{number:06d}" for (number,) in portal.run("select number from my_case")}
        found = rows(
            bus.look,
            "select key, count(*), count(*) filter (where rule = 'event.accepted'),"
            " count(*) filter (where rule not in ('event.accepted', 'event.duplicate'))"
            " from ledger.event where portal = %s and event_type <> 'Canary' group by key",
            name,
        )
        assert {key for key, *_ in found} == committed
        assert all((accepted, other) == (1, 0) for _, _, accepted, other in found)
        portal.close()
    repeats = sum(count for _, count, *_ in found) - len(found)
    print(
        f"\n{name}: killed at {steps} steps, and {KILLS} times at work; {len(committed)} committed,"
        f" {len(found)} accepted, {repeats} recognised as repeated"
    )


def killed_at_every_step(kind: str, url: str, folder: Path, name: str, first: int, stride: int) -> int:
    """Lets a portal live through a kill at each of its steps; returns how many there were."""
    words = [kind, url, str(folder), name, str(first), str(stride)]
    command = [sys.executable, str(SUPPORT / "intent_steps.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]
    return int(done.stdout)


def kill_relays_at_work(bus: Bus, portal: IntentPortal, relays: list[RelayProcess]) -> None:
    """Goes on committing while relays are killed and started anew, until everything has come back as accepted."""
    start = relays[0]
    ((number,),) = portal.run("select max(number) + 10 from my_case")
    try:
        for _ in range(KILLS):
            victim = relays.pop(0)
            bus.wait_until(lambda: victim.relays, "a relay that began")
            for _ in range(5):
                number += 1
                with rolled_back(portal) if random.random() < 0.3 else portal.transaction() as doing:
                    doing.change(number)
                    doing.publish(feedback(number))
            time.sleep(random.random() * 0.4)  # the kill comes at any instant of the work
            victim.kill()
            relays.append(start.again())
        bus.wait_until(
            lambda: portal.run("select distinct state, verdict from portalbus_outbox") == [("done", "ACCEPTED")],
            "everything done and accepted",
        )
        bus.wait_until(lambda: all(relay.relays for relay in relays), "the last relays")
        for relay in relays:
            relay.stop()
    finally:
        for relay in relays:
            relay.kill()
