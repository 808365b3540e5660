"""Real processes without one of the defences that a fault has to get past: the checker turns red for each of them.

Beside `test_defences.py`, which has the unique event id and the relay's position. With every defence, the same faults
leave nothing behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psycopg
import pytest

from bus_events import envelope, receipt, value_of
from cut_off_portal import lose_power
from history_checker import check, read_history
from history_recorder import HistoryFile, lane_lines, ledger_lines
from history_report import Report
from memory_ledger import directory
from portalbus.infra.stack import Endpoints
from portalbus.schemas.models import Event
from portalbus.schemas.registration import SchemaIds
from portalbus.schemas.registry import SchemaRegistry
from portalbus.streams.ledger.decider import Decider
from portalbus.streams.parking.asking import Filters, parked_places
from portalbus.streams.parking.deciding import Parking
from simulator.disk import can_listen
from unheard_commits import UnheardCommits
from whole_bus import Bus

AGENCY = "H26"
EVENTS = 40
PORTION = 8
SEAM = Path(__file__).parents[1] / "support" / "careless_seam"
PORTAL = Path(__file__).parents[1] / "support" / "cut_off_portal.py"
FAIL_STOP = 70


@pytest.fixture
def bus(endpoints: Endpoints, tmp_path: Path) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path, [AGENCY]).open()
    yield bus
    bus.close()


def publish(bus: Bus, first: int, last: int) -> None:
    """A source's events with these numbers; that they were acknowledged is written down."""
    history, records = HistoryFile(bus.folder / "history.ndjson"), []
    for number in range(first, last + 1):
        event = Event(envelope(number, AGENCY, number), receipt(f"{AGENCY}-{number:06}", number))
        records.append((event.key.encode(), value_of(event, bus.schema_ids)))
        named = {"id": event.envelope.id, "source": f"{AGENCY}/www"}
        history.put([{"saw": "attempted", **named}, {"saw": "acknowledged", **named, "epoch": 1, "sequence": number}])
    history.close()
    bus.publish(AGENCY, records)


def checked(bus: Bus, *stages: str) -> Report:
    """What the checker says of what was acknowledged, of the lane, and of the ledger if that is a stage."""
    history = HistoryFile(bus.folder / "history.ndjson")
    history.put(lane_lines(bus.endpoints.bootstrap, [AGENCY], SchemaIds(registry(bus)).lane_writers()))
    if "judged" in stages:
        history.put(ledger_lines(bus.look))
    history.close()
    return check(read_history(bus.folder / "history.ndjson"), stages=stages, all_sound=True)


def registry(bus: Bus) -> SchemaRegistry:
    return SchemaRegistry(bus.endpoints.registry_url)


def commits_that_are_not_heard(bus: Bus, seam: Mapping[str, str]) -> Report:
    """Every second commit of the worker is done and its answer lost: it brings the same records once more."""
    if seam:  # it is held twice: by the lane's offset, and by a key of the table
        bus.look.execute("alter table ledger.event drop constraint event_pkey")
    with UnheardCommits(bus.database_url) as way:
        bus.start_worker(**seam, PORTALBUS_DATABASE=way.url)
        for first in range(1, EVENTS, PORTION):
            publish(bus, first, first + PORTION - 1)
            bus.wait_until(lambda: bus.next_offset(AGENCY) >= first + PORTION - 1, "the portion")
        last = bus.position()
        publish(bus, EVENTS + 1, EVENTS + 1)  # behind everything that it may bring again
        bus.wait_until(lambda: bus.next_offset(AGENCY) > EVENTS and bus.position() > last, "the last one")
        assert way.lost > EVENTS // PORTION
    return checked(bus, "laid", "judged", "effect")


def a_group_that_is_forgotten(bus: Bus, seam: Mapping[str, str]) -> Report:
    """Kafka forgets where a group was when nobody has read for a week; here, the workers get a new group."""
    first = bus.start_worker(**seam)
    bus.wait_until(lambda: bus.lanes_of(first) == 1, "the worker")
    publish(bus, 1, EVENTS // 2)
    bus.wait_until(lambda: bus.next_offset(AGENCY) == EVENTS // 2, "the first half")
    first.kill()
    publish(bus, EVENTS // 2 + 1, EVENTS)
    bus.group = f"{bus.group}+"
    second = bus.start_worker(**seam)
    bus.wait_until(lambda: bus.lanes_of(second) == 1, "the worker of the new group")
    publish(bus, EVENTS + 1, EVENTS + 1)
    bus.wait_until(
        lambda: bus.next_offset(AGENCY) == EVENTS + 1 or second.process.poll() == FAIL_STOP, "the end, or its refusal"
    )
    return checked(bus, "laid", "judged", "effect")


def a_record_that_nobody_can_read(bus: Bus, seam: Mapping[str, str]) -> Report:
    """Among others; the worker is started again as often as it ends, three times."""
    publish(bus, 1, EVENTS // 2)
    bus.publish(AGENCY, [(b"k", b"rubbish")])
    publish(bus, EVENTS // 2 + 1, EVENTS)
    for _ in range(3):
        worker = bus.start_worker(**seam)
        bus.wait_until(
            lambda: bus.next_offset(AGENCY) == EVENTS + 1 or worker.process.poll() == FAIL_STOP, "the end, or its own"
        )
    with psycopg.connect(bus.database_url, autocommit=True) as connection:  # what is parked is open until then
        parking = Parking(connection, SchemaIds(registry(bus)).lane_writers(), directory())
        list(parking.discard(parked_places(connection, Filters()), Decider("han@example.gov.vn", "no event")))
    return checked(bus, "laid", "judged", "effect")


def a_power_cut_at_a_portal(bus: Bus, seam: Mapping[str, str]) -> Report:
    """The portal is cut off from the bus, publishes, and loses its power; then it comes back and publishes more."""
    if not can_listen():
        pytest.skip("this build of Python lets nobody see what SQLite syncs")
    outbox = bus.folder / "outbox"
    outbox.mkdir()
    command = [sys.executable, str(PORTAL), str(outbox), str(bus.folder / "history.ndjson")]
    before = subprocess.Popen([*command, "1", str(EVENTS)], stdout=subprocess.PIPE, env={**os.environ, **seam})
    assert before.stdout is not None
    assert before.stdout.readline() == b"published\n"
    before.send_signal(signal.SIGKILL)
    before.wait()
    before.stdout.close()
    lost = lose_power(outbox)
    where = [bus.endpoints.bootstrap, bus.endpoints.registry_url]
    after = subprocess.run(
        [*command, str(EVENTS + 1), "1", *where],
        env={**os.environ, **seam},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert seam or after.returncode == 0, after.stderr.decode()
    print(f"\n{lost} bytes of the outbox's log were not on the disk")
    return checked(bus, "laid")


FAULTS: Mapping[str, Callable[[Bus, Mapping[str, str]], Report]] = {
    "compare-and-set": commits_that_are_not_heard,
    "seek-to-ledger": a_group_that_is_forgotten,
    "catch-in-handler": a_record_that_nobody_can_read,
    "outbox-fsync": a_power_cut_at_a_portal,
}
"""By defence, what it defends against."""
SHORT = ("compare-and-set", "outbox-fsync")
LONG = [pytest.param(defence, marks=[] if defence in SHORT else pytest.mark.chaos) for defence in FAULTS]


@pytest.mark.parametrize("defence", LONG)
def test_without_this_defence_real_processes_break_a_promise_and_the_checker_sees_it(bus: Bus, defence: str) -> None:
    report = FAULTS[defence](bus, {"PYTHONPATH": str(SEAM), "PORTALBUS_TEST_WITHOUT": defence})
    print(f"without {defence}: {report.figures()}")
    assert not report.clean


@pytest.mark.chaos
@pytest.mark.parametrize("defence", FAULTS)
def test_with_every_defence_the_same_fault_leaves_nothing_behind(bus: Bus, defence: str) -> None:
    report = FAULTS[defence](bus, {})
    print(f"with every defence, {FAULTS[defence].__name__.replace('_', ' ')}: {report.figures()}")
    report.must_be_clean()
