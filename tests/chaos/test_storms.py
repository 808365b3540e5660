"""Storms: workers come and go without end, and every event is sent many times by several producers in any order."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import psycopg
import pytest
from confluent_kafka import Producer

from bus_events import directive, envelope, receipt, value_of
from bus_history import acknowledged, checked
from history_checker import check
from history_report import Line
from ledger_facts import assert_sound, one, rows
from portalbus.infra.stack import Endpoints
from portalbus.schemas.models import Event
from portalbus.schemas.topics import lane_of
from promises import promised
from seeds import fresh_seed
from whole_bus import Bus, Running

AGENCIES = ("G22", "H26", "H29", "G09")
PER_SECOND = 300
MOST_WORKERS = 3
LONGEST_STOP_S = 25.0
LONGEST_STALL_S = 15.0
EFFECTS = """
select j.position, e.key from ledger.judgement j join ledger.event e using (agency, lane_offset)
where j.status = 'ACCEPTED' order by j.position"""


@pytest.fixture
def bus(endpoints: Endpoints, tmp_path: Path) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path, AGENCIES).open()
    yield bus
    bus.close()


@dataclass
class Load:
    """One source of each agency, publishing steadily; at the end the broker has everything."""

    bus: Bus
    acknowledged: list[Line] = field(default_factory=list)

    def __enter__(self) -> Load:
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(60)

    def _run(self) -> None:
        number = 0
        while not self._stopped.wait(len(AGENCIES) / PER_SECOND):
            number += 1
            for place, agency in enumerate(AGENCIES):
                payload = receipt(f"{agency}-{number:06}", place * 1_000_000 + number)
                event = Event(envelope(place * 1_000_000 + number, agency, number), payload)
                self.bus.publish(agency, [(event.key.encode(), value_of(event, self.bus.schema_ids))])
                self.acknowledged.append({"saw": "acknowledged", **_named(agency, number)})


class Stalls:
    """Watches the ledger's position: the longest time in which nothing moved, in seconds."""

    def __init__(self, bus: Bus) -> None:
        self.longest = 0.0
        self._bus = bus
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Stalls:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(30)

    def _watch(self) -> None:
        with psycopg.connect(self._bus.database_url, autocommit=True) as look:
            position, since = -1, time.monotonic()
            while not self._ended.wait(0.1):
                now = int(one(look, "select next from ledger.position"))
                if now != position:
                    position, since = now, time.monotonic()
                self.longest = max(self.longest, time.monotonic() - since)


def come_and_go(bus: Bus, changes: int, pause: tuple[float, float]) -> None:
    """So many workers join or leave, by SIGTERM or by kill -9, while events come in."""
    seed = fresh_seed("workers come and go")
    random = Random(seed)
    workers: list[Running] = [bus.start_worker(), bus.start_worker()]
    done = {"join": 0, "term": 0, "kill": 0}
    slowest_stop = 0.0
    with Load(bus) as load:
        bus.wait_until(lambda: bus.position() > 1, "the first event is judged")
        with Stalls(bus) as stalls:
            for _ in range(changes):
                time.sleep(random.uniform(*pause))
                what = _next_change(random, len(workers))
                done[what] += 1
                if what == "join":
                    workers.append(bus.start_worker())
                elif what == "kill":
                    workers.pop(random.randrange(len(workers))).kill()
                else:
                    slowest_stop = max(slowest_stop, _stop(bus, workers.pop(random.randrange(len(workers)))))
    wanted = len(load.acknowledged)
    rest = bus.wait_until(lambda: one(bus.look, "select count(*) from ledger.event") == wanted, "all is judged", 60)
    effects = [{"saw": "effect", **_named_by_case(case), "position": at} for at, case in rows(bus.look, EFFECTS)]
    report = check([*load.acknowledged, *effects], stages=("effect",))
    print(
        f"\nseed {seed}: {done}, slowest SIGTERM {slowest_stop:.1f} s, longest standstill {stalls.longest:.1f} s,"
        f" at rest after {rest:.1f} s; {report.figures()}"
    )
    report.must_be_clean()
    assert_sound(bus.look)
    assert stalls.longest < LONGEST_STALL_S


def _stop(bus: Bus, leaving: Running) -> float:
    """SIGTERM to a worker that has begun its work; returns how many seconds it took to end."""
    bus.wait_until(lambda: leaving.said("worker.started"), "it has started")
    began = time.monotonic()
    assert leaving.stop(LONGEST_STOP_S) == 0, leaving.text()[-3_000:]
    return time.monotonic() - began


def _next_change(random: Random, workers: int) -> str:
    if workers <= 1:
        return "join"
    if workers >= MOST_WORKERS:
        return random.choice(("term", "kill"))
    return random.choice(("join", "term", "kill"))


def _named(agency: str, number: int) -> Line:
    """An event, named by its case."""
    return {"id": f"{agency}-{number:06}", "source": f"{agency}/www", "epoch": 1, "sequence": number}


def _named_by_case(case: str) -> Line:
    agency, _, number = case.partition("-")
    return _named(agency, int(number))


def test_workers_that_come_and_go_lose_nothing_and_never_stand_still_for_long(bus: Bus) -> None:
    come_and_go(bus, 5, (0.5, 2.0))


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_forty_workers_come_and_go_within_four_minutes(bus: Bus) -> None:
    come_and_go(bus, 40, (3.0, 9.0))


def send_again_and_again(bus: Bus, events: int, times: int, producers: int) -> None:
    """Every event so many times, by several producers, each in an order of its own."""
    seed = fresh_seed("sent again and again")
    said = [_said(number) for number in range(events)]
    records = [_record(bus, event) for event in said]
    copies = [times // producers + (place < times % producers) for place in range(producers)]
    began = time.monotonic()
    threads = [
        threading.Thread(target=_send_shuffled, args=(bus, records, count, Random(seed + place)))
        for place, count in enumerate(copies)
    ]
    for thread in threads:
        thread.start()
    worker = bus.start_worker()
    for thread in threads:
        thread.join()
    bus.wait_until(lambda: one(bus.look, "select sum(next_offset) from ledger.lane") == events * times, "all", 180)
    bus.wait_until(lambda: one(bus.look, "select count(*) from ledger.waiting") == 0, "nobody waits", 60)
    took = time.monotonic() - began
    found = dict(rows(bus.look, "select rule, count(*) from ledger.event group by rule"))
    print(
        f"\nseed {seed}: {events * times} records of {events} events by {producers} producers in {took:.0f} s: {found}"
    )
    report = checked(bus, map(acknowledged, said))
    print(report.figures())
    report.must_be_clean(f"seed {seed}")
    with promised():
        assert found == {"event.accepted": events, "event.duplicate": events * (times - 1)}
        assert one(bus.look, "select count(*) from ledger.directive") == events
    assert_sound(bus.look)
    assert took < 180
    assert worker.stop() == 0, worker.text()


def _said(number: int) -> Event:
    agency, sequence = AGENCIES[number % len(AGENCIES)], number // len(AGENCIES) + 1
    return Event(envelope(number, agency, sequence), directive(f"d-{number:06}"))


def _record(bus: Bus, event: Event) -> tuple[str, bytes, bytes]:
    return event.envelope.agency, event.key.encode(), value_of(event, bus.schema_ids)


def _send_shuffled(bus: Bus, records: Sequence[tuple[str, bytes, bytes]], times: int, random: Random) -> None:
    producer = Producer({"bootstrap.servers": bus.endpoints.bootstrap, "compression.type": "lz4", "linger.ms": 5})
    order = [*records] * times
    random.shuffle(order)
    for agency, key, value in order:
        producer.produce(lane_of(agency), value, key)
        producer.poll(0)
    assert producer.flush(60) == 0


def test_what_is_sent_ten_times_by_four_producers_takes_effect_once(bus: Bus) -> None:
    send_again_and_again(bus, 600, 10, 4)


@pytest.mark.chaos
def test_five_thousand_events_sent_twenty_times_take_effect_once(bus: Bus) -> None:
    send_again_and_again(bus, 5_000, 20, 4)
