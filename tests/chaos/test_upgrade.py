"""Tables are migrated and every worker and the relay replaced under load, as docs/howto/upgrading.md says, and back.

No portal notices: nothing is lost, doubled or reordered, `publish()` is never refused, and judging and sending never
pause for long.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest

from history_checker import read_history
from history_recorder import everything
from killing import Portals, agencies_of, judged_history, unrest
from portalbus.infra.stack import Endpoints
from portalbus.schemas.topics import verdicts_of
from portalbus.streams.ledger.database import migrate
from portalbus.streams.ledger.stepping_back import StepBackRefused, step_back
from whole_bus import Bus, Running

RATE = 200.0
"""Events a second, over all sources."""
SOURCES = [f"{agency}/{portal}" for agency in ("G22", "H26", "H29", "G09") for portal in ("www", "edu")]
AGENCIES = agencies_of(SOURCES)
WORKERS = 2
LONGEST_PAUSE_S = 30.0
"""Half of what a sound group of workers may take to hand its lanes over; a good machine needs a second or two."""
TOLD_SECONDS = 30
NEXT_RELEASE, BEFORE_IT = "next_release", 9000
"""A package with a migration of its own, as the next version may bring one, and the number that it comes after."""
RELAYS = "select count(*) from pg_stat_activity where application_name = 'portalbus-relay' and datname = %s"

MIGRATION_WAITS = """
select count(*) from pg_stat_activity
where application_name = 'portalbus-migrate' and datname = %s and wait_event_type = 'Lock'"""


@pytest.fixture
def bus(endpoints: Endpoints, tmp_path: Path) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path, AGENCIES).open()
    yield bus
    bus.close()


class Rolling:
    """The processes of one bus, replaced one after the other: the new one is up before the old one is told to end."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.start()
        self.slowest_end = 0.0
        self.replaced: Counter[str] = Counter()
        for worker in self._workers:
            self._wait_for(worker, "worker.started")
        self._wait_for(self._relay, "relay.started")

    def upgrade(self) -> None:
        """Replaces everything once."""
        for number in range(WORKERS):
            self._replace_worker(number)
        self._replace_relay()

    def migrate(self) -> float:
        """Applies the migration of the next release while all goes on; returns for how many seconds it had the tables.

        Somebody has had a query open for long on the table that every event goes into. The bus goes on judging
        meanwhile, which it could not behind a migration that waits for that query.
        """
        migrating: list[str] = []
        with psycopg.connect(self._bus.database_url) as report:
            report.execute("select count(*) from ledger.event")
            thread = threading.Thread(
                target=lambda: migrating.extend(migrate(self._bus.database_url, NEXT_RELEASE)), name="migrate"
            )
            thread.start()
            self._bus.wait_until(self._migration_waits, "the migration waits for the report")
            before = _accepted(self._bus)
            self._bus.wait_until(lambda: _accepted(self._bus) > before + 3 * RATE, "the bus judges on")
            assert thread.is_alive()
        since = time.monotonic()
        thread.join(120)
        assert migrating == ["9001_next_release"]
        return time.monotonic() - since

    def stop(self) -> None:
        """Ends every process."""
        for worker in self._workers:
            self._end(worker, "worker")
        self._end(self._relay, "relay")

    def start(self) -> None:
        """Starts as many again."""
        self._workers = [self._bus.start_worker() for _ in range(WORKERS)]
        self._relay = self._bus.start_relay()

    def _migration_waits(self) -> bool:
        row = self._bus.look.execute(MIGRATION_WAITS, (self._bus.look.info.dbname,)).fetchone()
        assert row is not None
        return bool(row[0])

    def _replace_worker(self, number: int) -> None:
        new, old = self._bus.start_worker(), self._workers[number]
        self._wait_for(new, "worker.started")
        self._end(old, "worker")
        self._workers[number] = new
        # The lanes of the old one are read by the others now.
        lanes = len(AGENCIES)
        self._bus.wait_until(lambda: sum(map(self._bus.lanes_of, self._workers)) >= lanes, "every lane has a worker")

    def _replace_relay(self) -> None:
        new = self._bus.start_relay()
        self._bus.wait_until(lambda: self._relays() > 1, "the new relay stands by")
        self._end(self._relay, "relay")
        self._relay = new
        self._wait_for(new, "relay.started")

    def _end(self, old: Running, name: str) -> None:
        began = time.monotonic()
        assert old.stop(TOLD_SECONDS) == 0, old.text()[-3_000:]
        self.slowest_end = max(self.slowest_end, time.monotonic() - began)
        self.replaced[name] += 1

    def _wait_for(self, process: Running, event: str) -> None:
        self._bus.wait_until(lambda: process.said(event), f"{process.name} says {event}")

    def _relays(self) -> int:
        row = self._bus.look.execute(RELAYS, (self._bus.look.info.dbname,)).fetchone()
        assert row is not None
        # A relay's metrics have a connection of their own under another name.
        return int(row[0])


def upgrade_under_load(bus: Bus, folder: Path, rounds: int) -> None:
    """Migrates, and replaces everything so many times while the portals publish, and judges what came of it."""
    rolling = Rolling(bus)
    portals = Portals(bus, folder, SOURCES, 2, RATE)
    portals.start()
    try:
        bus.wait_until(lambda: _accepted(bus) > RATE, "the portals are heard")
        began = time.time()
        waited = rolling.migrate()
        for _ in range(rounds):
            rolling.upgrade()
        before = _accepted(bus)
        bus.wait_until(lambda: _accepted(bus) > before + RATE, "the new ones judge")
        ended = time.time()
        portals.finish(within=60)  # a portal whose publish() was refused has ended with a trace
        bus.wait_until(lambda: not unrest(bus, AGENCIES), "everything is judged and sent", 60)
    finally:
        portals.end()
    report = judged_history(bus, portals.history, AGENCIES)
    judging = longest_pause(_judged_at(portals.history), began, ended)
    sending = longest_pause(_sent_at(bus), began, ended)
    rate = _acknowledged(portals.history, began, ended) / (ended - began)
    done = ", ".join(f"{count} {name}s" for name, count in rolling.replaced.items())
    print(f"\n{done} replaced in {ended - began:.1f} s at {rate:.0f} events/s,", end=" ")
    print(f"migrated {waited:.2f} s after a long query was over; no event accepted for at most", end=" ")
    print(f"{judging:.2f} s, no verdict sent for at most {sending:.2f} s; slowest end {rolling.slowest_end:.2f} s")
    print(report.figures())
    report.must_be_clean()
    assert report.seen["acknowledged"] > 3 * RATE
    assert judging < LONGEST_PAUSE_S
    assert sending < LONGEST_PAUSE_S
    assert all("fail-stop" not in one.text() and ".restart" not in one.text() for one in bus.processes)


def longest_pause(times: Iterable[float], began: float, ended: float) -> float:
    """The longest time within these bounds, in seconds, in which nothing happened."""
    inside = [began, *sorted(at for at in times if began < at < ended), ended]
    return max(after - before for before, after in pairwise(inside))


def _accepted(bus: Bus) -> int:
    row = bus.look.execute("select count(*) from ledger.judgement where status = 'ACCEPTED'").fetchone()
    assert row is not None
    return int(row[0])


def _judged_at(history: Path) -> list[float]:
    return [line["at"] for line in read_history(history) if line["saw"] == "judged" and line["status"] == "ACCEPTED"]


def _acknowledged(history: Path, began: float, ended: float) -> int:
    return sum(line["saw"] == "acknowledged" and began < line["at"] < ended for line in read_history(history))


def _sent_at(bus: Bus) -> list[float]:
    topics = [verdicts_of(agency) for agency in AGENCIES]
    return [message.timestamp()[1] / 1_000 for message in everything(bus.endpoints.bootstrap, topics)]


def back_and_forward_under_load(bus: Bus, folder: Path) -> None:
    """Takes a migration back while the portals publish, as the page says: everything but them stands still."""
    rolling = Rolling(bus)
    portals = Portals(bus, folder, SOURCES, 2, RATE)
    migrate(bus.database_url, NEXT_RELEASE)
    portals.start()
    try:
        bus.wait_until(lambda: _accepted(bus) > RATE, "the portals are heard")
        with pytest.raises(StepBackRefused, match=r"portalbus-relay, .*portalbus-worker is connected"):
            step_back(bus.database_url, BEFORE_IT, lose_rows=True, package=NEXT_RELEASE)
        rolling.stop()
        undone = step_back(bus.database_url, BEFORE_IT, lose_rows=True, package=NEXT_RELEASE).undone
        assert undone == ("9001_next_release",)
        before = _accepted(bus)
        rolling.start()
        bus.wait_until(lambda: _accepted(bus) > before + RATE, "the version before judges")
        portals.finish(within=60)
        bus.wait_until(lambda: not unrest(bus, AGENCIES), "everything is judged and sent", 60)
    finally:
        portals.end()
    report = judged_history(bus, portals.history, AGENCIES)
    assert report.clean, str(report)
    assert report.seen["acknowledged"] > 2 * RATE


def test_workers_and_relay_are_replaced_under_load_and_no_portal_notices(bus: Bus, tmp_path: Path) -> None:
    upgrade_under_load(bus, tmp_path, 1)


@pytest.mark.chaos
def test_a_migration_is_taken_back_while_portals_publish_and_nothing_is_lost(bus: Bus, tmp_path: Path) -> None:
    back_and_forward_under_load(bus, tmp_path)


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_the_same_six_times_in_a_row(bus: Bus, tmp_path: Path) -> None:
    upgrade_under_load(bus, tmp_path, 6)
