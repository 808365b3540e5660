"""The same kills on a plain confluent-kafka consumer and on stock Faust: what each loses, and what it does twice.

Not a test of theirs: nothing is asserted about them but that they come to rest. The figures stand beside ours.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from bus_events import envelope, receipt, value_of
from history_checker import Line, check
from ledger_facts import one, rows
from portalbus.infra.stack import Endpoints
from portalbus.schemas.models import Event
from portalbus.schemas.topics import lane_of
from whole_bus import Bus

AGENCIES = ("G22", "H26", "H29", "G09")
PEERS = Path(__file__).parents[1] / "bench" / "peers"
KILLS = 6
RATE = 400
QUIET_SECONDS = 75.0
"""Nothing happens any more: longer than the session timeout of a dead member, 60 s with Faust."""

TABLES = """
create schema peer;
create table peer.feedback (case_id text primary key, public_code text not null, agency text not null,
    portal text not null, sequence bigint not null, regime text not null, category int not null,
    received_at timestamptz not null, subject text not null, content text not null);
create table peer.applied (number bigint generated always as identity primary key, case_id text not null);
create function peer.note() returns trigger language plpgsql as $$
begin insert into peer.applied (case_id) values (new.case_id); return null; end $$;
create trigger note after insert or update on peer.feedback for each row execute function peer.note()"""


@pytest.fixture
def bus(endpoints: Endpoints, tmp_path: Path) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path, AGENCIES).open()
    bus.look.execute(TABLES)
    yield bus
    bus.close()


class Load:
    """Cases of four agencies; what the broker has confirmed is acknowledged."""

    def __init__(self, bus: Bus) -> None:
        self.lines: list[Line] = []
        self._bus = bus
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stops; everything is confirmed afterwards."""
        self._stopped.set()
        self._thread.join(60)

    def _run(self) -> None:
        sequence = 0
        while not self._stopped.wait(len(AGENCIES) * 20 / RATE):
            for place, agency in enumerate(AGENCIES):
                records = []
                for number in range(sequence + 1, sequence + 21):
                    payload = receipt(f"{agency}-{number:06}", place * 1_000_000 + number)
                    event = Event(envelope(place * 1_000_000 + number, agency, number), payload)
                    records.append((event.key.encode(), value_of(event, self._bus.schema_ids)))
                self._bus.publish(agency, records)
                self.lines += [
                    {"saw": "acknowledged", **case_line(agency, n)} for n in range(sequence + 1, sequence + 21)
                ]
            sequence += 20


def case_line(agency: str, number: int) -> Line:
    """An event, named by its case."""
    return {"id": f"{agency}-{number:06}", "source": f"{agency}/www", "epoch": 1, "sequence": number}


def applied(bus: Bus, query: str) -> list[Line]:
    """What took effect, in the order in which it did."""
    found = []
    for position, case in bus.look.execute(query).fetchall():
        agency, _, number = case.partition("-")
        found.append({"saw": "effect", **case_line(agency, int(number)), "position": position})
    return found


def start_peer(bus: Bus, name: str) -> Callable[[], subprocess.Popen[bytes]]:
    """Starts one process of a peer, in the group of the others."""

    def start() -> subprocess.Popen[bytes]:
        folder = bus.folder / f"{name}-{time.time_ns()}"  # Faust keeps files where it is started
        folder.mkdir()
        environment = {
            **os.environ,
            "PORTALBUS_BOOTSTRAP": bus.endpoints.bootstrap,
            "PORTALBUS_REGISTRY": bus.endpoints.registry_url,
            "PORTALBUS_DATABASE": bus.database_url,
            "BENCH_LANES": ",".join(map(lane_of, AGENCIES)),
            "BENCH_GROUP": bus.group,
        }
        with (folder / "log").open("wb") as log:
            command = [sys.executable, str(PEERS / f"{name}.py")]
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)

    return start


def killed_again_and_again(
    bus: Bus, start: Callable[[], subprocess.Popen[bytes]], count: str, query: str, name: str
) -> None:
    """Two processes share the lanes; one is killed as soon as something has moved since the last time."""
    seed = int.from_bytes(os.urandom(4))
    random = Random(seed)
    load = Load(bus)
    running = [start(), start()]
    try:
        for _ in range(KILLS):
            before = progress(bus, count)
            bus.wait_until(lambda: progress(bus, count) > before, "progress", 150)
            time.sleep(random.random() * 2.0)
            victim = running.pop(random.randrange(2))
            victim.kill()
            victim.wait()
            running.append(start())
        load.stop()
        wait_until_quiet(bus, count, len(load.lines))
    finally:
        load.stop()
        for process in running:
            process.kill()
            process.wait()
    report = check([*load.lines, *applied(bus, query)], stages=("effect",))
    print(f"\n{name}, seed {seed}: {KILLS} kills: {report.figures()}")
    if name == "portalbus":
        assert report.clean, report


def progress(bus: Bus, count: str) -> int:
    """How much has taken effect."""
    return int(one(bus.look, count))


def wait_until_quiet(bus: Bus, count: str, wanted: int) -> None:
    """Until everything has taken effect, or nothing has moved for longer than a dead member is waited for."""
    seen, since = progress(bus, count), time.monotonic()
    while time.monotonic() - since < QUIET_SECONDS and distinct(bus, count) < wanted:
        if (now := progress(bus, count)) != seen:
            seen, since = now, time.monotonic()
        time.sleep(0.5)


def distinct(bus: Bus, count: str) -> int:
    """How many cases the store holds."""
    table = "ledger.case" if "ledger" in count else "peer.feedback"
    return int(rows(bus.look, f"select count(*) from {table}")[0][0])


@pytest.mark.chaos
@pytest.mark.timeout(1_500)
@pytest.mark.parametrize("peer", ["confluent_loop", "stock_faust"])
def test_what_the_same_kills_do_to_a_peer(bus: Bus, peer: str) -> None:
    query = "select number, case_id from peer.applied order by number"
    killed_again_and_again(bus, start_peer(bus, peer), "select count(*) from peer.applied", query, peer)


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_what_the_same_kills_do_to_us(bus: Bus) -> None:
    query = (
        "select j.position, e.key from ledger.judgement j join ledger.event e using (agency, lane_offset)"
        " where j.status = 'ACCEPTED' order by j.position"
    )
    count = "select count(*) from ledger.judgement"
    killed_again_and_again(bus, lambda: bus.start_worker().process, count, query, "portalbus")
