"""A rebuild of a large ledger: the same rows, at a rate that a person can wait for."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus_events import answer, directive, envelope, receipt, value_of
from portalbus.infra.stack import Endpoints
from portalbus.schemas.models import Event, Payload
from whole_bus import Bus

AGENCIES = ("G22", "H26", "H29", "G09")
EVENTS = 200_000
RATE = 3_000
"""Events a second, judged again and compared."""


@pytest.fixture
def bus(endpoints: Endpoints, tmp_path: Path) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path, AGENCIES).open()
    yield bus
    bus.close()


def payload(agency: str, number: int, unique: int) -> Payload:
    """By turns a case, its answer, and a version of a document."""
    turn = number % 4
    if turn == 1:
        return receipt(f"{agency}-{number:06}", unique, addressed_to=agency)
    if turn == 2:
        return answer(f"{agency}-{number - 1:06}", answer=f"Trả lời {number}.")
    return directive(f"d-{number // 4:06}", 1 if turn == 3 else 2) if number > 2 else directive(f"d-{agency}")


@pytest.mark.chaos
@pytest.mark.timeout(1_200)
def test_two_hundred_thousand_events_are_judged_again_to_the_same_rows(bus: Bus) -> None:
    worker = bus.start_worker()
    each = EVENTS // len(AGENCIES)
    for place, agency in enumerate(AGENCIES):
        events = (
            Event(envelope(place * 1_000_000 + n, agency, n), payload(agency, n, place * 1_000_000 + n))
            for n in range(1, each + 1)
        )
        bus.publish(agency, ((event.key.encode(), value_of(event, bus.schema_ids)) for event in events))
    bus.wait_until(lambda: all(bus.next_offset(agency) == each for agency in AGENCIES), "all is judged", 300)
    assert worker.stop() == 0
    began = time.monotonic()
    done = bus.command("rebuild", "--json", within=600)
    took = time.monotonic() - began
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    print(f"{EVENTS:,} events rebuilt and compared in {took:.0f} s, {EVENTS / took:,.0f}/s: {told}")
    assert EVENTS / took >= RATE
