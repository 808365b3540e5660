"""A backlog of large events: a worker's memory stays bounded, and no batch is so slow that it loses its lanes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from bus_events import directive, envelope, value_of
from bus_history import acknowledged, checked
from ledger_facts import assert_sound, one
from portalbus.infra.stack import Endpoints
from portalbus.schemas.models import Event
from watched_memory import watched
from whole_bus import Bus

AGENCIES = ("G22", "H26", "H29", "G09")
LETTERS = "aăâbcdđeêghiklmnoôơpqrstuưvxyàáảãạằắẳẵặầấẩẫậ "
CHARACTERS = 140_000
"""About 247 KB in UTF-8: a value may have 256 KiB."""
MOST_MB, MOST_OF_ALL_MB = 250.0, 350.0
"""Of the largest process of a worker, and of the worker and its decoder together."""
ACCEPTED = "select count(*) from ledger.event where rule = 'event.accepted'"


@pytest.fixture
def bus(endpoints: Endpoints, tmp_path: Path) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path, AGENCIES).open()
    yield bus
    bus.close()


def work_off(bus: Bus, events: int, *, first: int = 1) -> None:
    """A worker finds so many large events waiting for it; each source's begin with the sequence `first`."""
    random = Random(7)
    sizes, said = [], []
    for number in range(events):
        agency = AGENCIES[number % len(AGENCIES)]
        text = "".join(random.choices(LETTERS, k=2_000)) * (CHARACTERS // 2_000)
        event = Event(
            envelope(number, agency, number // len(AGENCIES) + first),
            directive(f"d-{number:06}", body=f"{number} {text}"),
        )
        value = value_of(event, bus.schema_ids)
        sizes.append(len(value))
        bus.publish(agency, [(event.key.encode(), value)])
        said.append(acknowledged(event))
    began = time.monotonic()
    worker = bus.start_worker()
    with watched(worker) as memory:
        bus.wait_until(lambda: one(bus.look, ACCEPTED) == events, "all are judged", 240)
    took = time.monotonic() - began
    print(
        f"\n{events} events of {sum(sizes) / len(sizes) / 1e3:.0f} KB in {took:.1f} s with the start; largest process"
        f" {memory.worker:.0f} MB, all of the worker's {sum(memory.most.values()):.0f} MB"
    )
    assert len(worker.said("edge.assigned")) == 1, "no rebalance"
    assert memory.worker < MOST_MB
    assert sum(memory.most.values()) < MOST_OF_ALL_MB
    report = checked(bus, said)
    print(report.figures())
    report.must_be_clean()
    assert_sound(bus.look)
    assert worker.stop() == 0, worker.text()


def test_a_backlog_of_large_events_does_not_fill_the_memory(bus: Bus) -> None:
    work_off(bus, 200)


def test_large_events_behind_a_gap_do_not_fill_the_memory(bus: Bus) -> None:
    work_off(bus, 200, first=2)
    assert one(bus.look, "select count(*) from ledger.gap where state = 'open'") == len(AGENCIES)


@pytest.mark.chaos
def test_two_thousand_large_events_behind_gaps_do_not_fill_the_memory(bus: Bus) -> None:
    work_off(bus, 2_000, first=2)


@pytest.mark.chaos
def test_two_thousand_large_events_do_not_fill_the_memory(bus: Bus) -> None:
    work_off(bus, 2_000)
