"""A million ordinary events queued, the worker killed: urgent cases reach the list all the same, and climb in time."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger_facts import one
from portalbus.infra.stack import Endpoints
from portalbus.streams.reading.casework import urgent_cases
from urgent_queue import AGENCIES, UrgentQueue
from whole_bus import Bus

pytestmark = pytest.mark.chaos
QUEUED = int(os.environ.get("PORTALBUS_TEST_QUEUED", "1000000"))
URGENT = 100
ONE_MINUTE = """[[term]]
rule = "urgent.acknowledge.test"
regime = "*"
duty = "ACKNOWLEDGE"
length = 1
unit = "minutes"
valid_from = 2026-01-02
basis = "house"
legal_basis = "The shortest time that the test can set"
confidence = "high"
"""


@pytest.fixture
def queue(endpoints: Endpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[UrgentQueue]:
    regimes = tmp_path / "regimes.toml"
    regimes.write_text(ONE_MINUTE, encoding="utf-8")
    monkeypatch.setenv("PORTALBUS_REGIMES", str(regimes))
    bus = Bus(endpoints, tmp_path, AGENCIES).open()
    try:
        yield UrgentQueue(bus)
    finally:
        bus.close()


def test_behind_a_million_queued_events_an_urgent_case_is_on_the_list_within_two_seconds(queue: UrgentQueue) -> None:
    queue.start_casework()
    worker = queue.bus.start_worker()
    began = time.perf_counter()
    queue.queue_copies("H56", QUEUED)
    print(
        f"\n{QUEUED:,} queued in {time.perf_counter() - began:.0f} s, {queue.bus.next_offset('H56'):,} judged by then"
    )
    read = "select coalesce(max(next_offset), 0) from casework.scouted where agency = 'H56'"
    queue.bus.wait_until(lambda: one(queue.bus.look, read) >= QUEUED, "the scout", 120)
    print(f"the scout had read them after {time.perf_counter() - began:.0f} s")
    seconds = []
    first = ""
    for number in range(URGENT):
        if number == URGENT // 2:
            worker.kill()
        case = queue.urgent(AGENCIES[number % 2])
        first = first or case
        seconds.append(queue.seconds_to_list(case))
    seconds.sort()
    p50, p99 = seconds[len(seconds) // 2], seconds[-1 - len(seconds) // 100]
    print(f"to the list: p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, longest {seconds[-1] * 1000:.0f} ms")
    assert p99 < 2
    climbed = queue.bus.wait_until(lambda: _climbed(queue, first), "the climb", 90)
    print(f"climbed {climbed:.1f} s later, no worker running")


def _climbed(queue: UrgentQueue, case_id: str) -> bool:
    return any(case.case_id == case_id and case.authority == "G22" for case in urgent_cases(queue.bus.look))
