"""Parts of the bus are away for a while: what is acknowledged meanwhile is durable, and all recovers without hands."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from killing import (
    RETURN_SECONDS,
    Killer,
    Portals,
    acknowledged,
    agencies_of,
    judged_history,
    unrest,
    until,
    wait_for_rest,
)
from portalbus.infra.bus.bus import Bus
from portalbus.schemas.directory import directory
from seeds import fresh_seed

RATE = 120.0
KILLING_RATE = 300.0
"""Where it is a service that is killed, so that every kill finds it at work."""
OUTAGE_SECONDS = float(os.environ.get("PORTALBUS_OUTAGE_SECONDS", "600"))
"""How long the registry is away in the long form; database and Kafka a quarter of that."""
AGENCIES = [agency.code for agency in directory().current(datetime.now(UTC).date())[:4]]
SOURCES = [f"{agency}/www" for agency in AGENCIES]


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bus]:
    monkeypatch.setenv("PORTALBUS_SESSION_TIMEOUT", "6")
    with Bus(tmp_path / "bus", workers=2, usual_ports=None) as bus:
        yield bus


@pytest.fixture
def portals(bus: Bus, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Portals]:
    rate = getattr(request, "param", RATE)
    portals = Portals(bus, tmp_path, SOURCES, processes=2, rate=rate, seed=fresh_seed("what portals say"))
    portals.start()
    yield portals
    portals.end()


def go_without(bus: Bus, portals: Portals, seconds: float, of_registry: float) -> None:
    """Database, Kafka and registry are away for so long, one after the other; nobody does anything about it."""
    killer = Killer(bus, portals, Random(fresh_seed("what is killed while the registry is away")))
    until(lambda: acknowledged(portals) > 100, "publishing begins", 60)
    stack = bus.stack
    for name, service in (("database", stack.postgres), ("Kafka", stack.kafka), ("registry", stack.registry)):
        service.stop()
        service.start_patience_s = RETURN_SECONDS
        before = acknowledged(portals)
        if name == "registry":  # whoever starts now has to do without it
            killer.kill("portals")
            killer.kill("worker")
            killer.kill("relay")
        away = of_registry if name == "registry" else seconds
        time.sleep(away)
        promised = acknowledged(portals) - before
        service.start()
        back = until(
            lambda: few_behind(bus, RATE), f"after the {name} was away: the lanes to be judged", RETURN_SECONDS
        )
        print(f"\n{name} away for {away:g} s: {promised} events acknowledged meanwhile, caught up {back:.1f} s after")
        assert promised > RATE * away * 0.3, f"publishing does not wait for the {name}"


def few_behind(bus: Bus, rate: float) -> bool:
    """True when the ledger follows the lanes within a second's load."""
    said = unrest(bus, agencies_of(SOURCES), tolerated=round(rate))
    return said == ""


def assert_nothing_is_missing(bus: Bus, portals: Portals) -> None:
    """All is delivered, judged, and sound."""
    portals.finish(within=RETURN_SECONDS)
    wait_for_rest(bus, agencies_of(SOURCES), within=RETURN_SECONDS)
    report = judged_history(bus, portals.history, agencies_of(SOURCES))
    print(report.figures())
    report.must_be_clean()
    assert bus.failed() == []


@pytest.mark.timeout(1_200)
def test_database_kafka_and_registry_may_be_away_for_a_while(bus: Bus, portals: Portals) -> None:
    go_without(bus, portals, 6.0, 6.0)
    assert_nothing_is_missing(bus, portals)


@pytest.mark.chaos
@pytest.mark.timeout(2_400)
def test_database_kafka_and_registry_may_be_away_for_minutes(bus: Bus, portals: Portals) -> None:
    go_without(bus, portals, OUTAGE_SECONDS / 4, OUTAGE_SECONDS)
    assert_nothing_is_missing(bus, portals)


EVENTS = {"kafka": 20_000, "postgres": 40_000}
"""How many are published at least while the service is killed ten times, as many before each kill."""
BACK_SECONDS = {"kafka": 30.0, "postgres": 5.0}
"""How soon after a service answers again the lanes have to be judged up to a moment ago."""


@pytest.mark.chaos
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("portals", [KILLING_RATE], indirect=True)
@pytest.mark.parametrize("name", BACK_SECONDS)
def test_ten_kills_of_a_service_are_caught_up_with_at_once_each_time(bus: Bus, portals: Portals, name: str) -> None:
    service = getattr(bus.stack, name)
    until(lambda: acknowledged(portals) > 100, "publishing begins", 60)
    until(lambda: few_behind(bus, portals.rate), "the bus keeps up", 60)
    workers = {one.name: one.pid for one in bus._processes if one.name.startswith("worker")}
    took = []
    for kill in range(1, 11):
        until(lambda: acknowledged(portals) >= EVENTS[name] * kill / 10, "enough to say", RETURN_SECONDS)
        service.kill()
        service.start()
        took.append(until(lambda: few_behind(bus, portals.rate), f"after a kill of {name}", RETURN_SECONDS))
    print(f"{name} killed 10 times: caught up within {max(took):.1f} s of its return")
    assert_nothing_is_missing(bus, portals)
    assert max(took) <= BACK_SECONDS[name]
    assert {one.name: one.pid for one in bus._processes if one.name.startswith("worker")} == workers, "a worker ended"
