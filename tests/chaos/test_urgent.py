"""A million ordinary events queued, the worker killed: urgent cases reach the list all the same, and climb in time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledger_facts import one
from portalbus.infra.stack import Endpoints
from urgent_queue import AGENCIES, UrgentQueue
from whole_bus import Bus

pytestmark = pytest.mark.chaos
QUEUED = int(os.environ.get("PORTALBUS_TEST_QUEUED", "1000000"))
URGENT = 100
CLIMB_TAKES = 5.0
"""Seconds that a climb may come after its term, on a loaded machine."""
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
    began = time.perf_counter()
    queue.queue("H56", QUEUED)
    print(f"\n{QUEUED:,} queued in {time.perf_counter() - began:.0f} s")
    worker = queue.bus.start_worker()
    queue.start_casework()
    first = _measured(queue, lambda number: number < URGENT, "while the queue is judged and not yet looked through")
    judged = queue.bus.next_offset("H56")
    assert judged < QUEUED, "there is no queue to speak of"
    worker.kill()
    behind = _measured(queue, lambda number: number < URGENT, f"{judged:,} judged, {_scouted(queue):,} looked through")
    queue.bus.wait_until(lambda: _scouted(queue) >= QUEUED, "the scout", 600)
    after = _measured(queue, lambda number: number < URGENT, "no worker running, all looked through")
    assert all(_p99(seconds) < 2 for seconds in (first, behind, after))
    heard = time.monotonic()
    case = queue.urgent("H56")
    queue.bus.wait_until(lambda: _climbed(queue, case), "the climb", 90)
    climbed = time.monotonic() - heard
    print(f"climbed after {climbed:.1f} s, where a minute is the term")
    assert 60 <= climbed <= 60 + CLIMB_TAKES


def _measured(queue: UrgentQueue, goes_on: Callable[[int], bool], when: str) -> list[float]:
    """Seconds from portal to list of urgent cases, one after the other, on the busy lane and on a quiet one."""
    seconds: list[float] = []
    while goes_on(len(seconds)):
        seconds.append(queue.seconds_of_an_urgent_one(AGENCIES[len(seconds) % 2]))
    seconds.sort()
    p50 = seconds[len(seconds) // 2]
    print(
        f"{when}: {len(seconds)}, p50 {p50 * 1000:.0f}, p99 {_p99(seconds) * 1000:.0f}, max {seconds[-1] * 1000:.0f} ms"
    )
    return seconds


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[-1 - len(seconds) // 100]


def _scouted(queue: UrgentQueue) -> int:
    return int(one(queue.bus.look, "select coalesce(max(next_offset), 0) from casework.scouted where agency = 'H56'"))


def _climbed(queue: UrgentQueue, case_id: str) -> bool:
    query = "select count(*) from casework.escalation where case_id = %s and kind = 'ESCALATED' and told_to = 'G22'"
    return bool(one(queue.bus.look, query, case_id))
