"""The worker as a process between a real Kafka, registry and PostgreSQL: poison, deaths, freezes, jumps."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import httpx2
import psycopg
import pytest
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from confluent_kafka import KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from bus_events import envelope, manifest, manifest_value, receipt, value_of
from central_process import free_port
from howto_page import blocks_of
from ledger_facts import assert_sound, one, rows
from portalbus.infra.stack import Endpoints
from portalbus.infra.stack.postgres import installation
from portalbus.schemas.codec import encode_envelope, encode_payload, frame
from portalbus.schemas.headers import cloudevents_headers
from portalbus.schemas.models import Event
from portalbus.streams.ledger.database import migrate, migrations
from portalbus.streams.ledger.stepping_back import step_back
from portalbus.streams.metrics.measuring import PORT_VARIABLE
from portalbus.streams.rebuilding.lane_reader import LaneReader
from promises import promised
from raw_batches import send_raw
from seeds import fresh_seed
from tcp_way import OpenWay
from whole_bus import Bus, Running

AGENCIES = ("G22", "H26", "H29", "G09")
SEAM = Path(__file__).parents[1] / "support" / "crash_seam"


@pytest.fixture
def bus(endpoints: Endpoints, tmp_path: Path) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path, AGENCIES).open()
    yield bus
    bus.close()


def case(bus: Bus, agency: str, number: int, **values: object) -> tuple[bytes, bytes]:
    """The record of a source's `number`-th event (from 1): the receipt of a case."""
    payload = receipt(f"{agency}-{number:06}", AGENCIES.index(agency) * 1_000_000 + number, **values)
    event = Event(envelope(AGENCIES.index(agency) * 1_000_000 + number, agency, number), payload)
    return event.key.encode(), value_of(event, bus.schema_ids)


def accepted(bus: Bus, agency: str) -> list[int]:
    """The sequences that were accepted from an agency, in lane order."""
    found = rows(
        bus.look,
        "select sequence from ledger.event where agency = %s and rule = 'event.accepted' order by lane_offset",
        agency,
    )
    return [sequence for (sequence,) in found]


# ---- lanes that are not what they were -----------------------------------------------------------------------------


def test_a_lane_that_was_made_anew_is_not_read_until_somebody_says_so_and_the_others_go_on(bus: Bus) -> None:
    """It may have as many records as the old one, or more: its offsets look as if nothing had happened."""
    worker = bus.start_worker()
    for agency in ("H26", "H29"):
        bus.publish(agency, [case(bus, agency, number) for number in (1, 2, 3)])
        bus.wait_until(lambda: bus.next_offset(agency) == 3, "what the lanes hold")
    assert worker.stop() == 0
    bus.make_anew("lane.H26")
    bus.publish("H26", [case(bus, "H26", number) for number in range(4, 9)])
    again = bus.start_worker()
    bus.publish("H29", [case(bus, "H29", 4)])
    bus.wait_until(lambda: bus.next_offset("H29") == 4, "the other lane")
    (told,) = again.said("lane.made-anew")
    assert (told["lane"], told["ledger_next"]) == ("lane.H26", 3)
    assert "how-to" in told["mend"]
    assert accepted(bus, "H26") == [1, 2, 3]
    (command,) = (text for _, text in blocks_of("operations.md") if text.startswith("psql "))
    told = {**bus.environment, "PATH": f"{installation()}:{os.environ['PATH']}"}
    subprocess.run(["/bin/sh", "-c", command], env=told, check=True)
    bus.wait_until(lambda: bus.next_offset("H26") == 5, "the lane after somebody said so")
    assert rows(bus.look, "select count(*) from ledger.lane where topic_id is null") == [(0,)]


# ---- tables that are older than the program ------------------------------------------------------------------------


def test_processes_before_a_migration_that_is_missing_name_it_and_go_on_once_it_was_applied(bus: Bus) -> None:
    """As where 0021 was applied before there was a 0020."""
    step_back(bus.database_url, 19, lose_rows=True)
    with psycopg.connect(bus.database_url) as connection:
        connection.execute(dict(migrations())["0021_refused"])
        connection.execute("insert into public.portalbus_migration (name) values ('0021_refused')")
    bus.publish("H26", [case(bus, "H26", number) for number in (1, 2, 3)])
    for running in (bus.start_worker(), bus.start_casework()):
        assert running.process.wait(60) == 70
        (told,) = running.said("ledger.migrations-missing")
        assert told["missing"][0] == "0020_cases_competence"
        assert "portalbus migrations up" in told["mend"]
    migrate(bus.database_url)
    bus.start_worker()
    bus.wait_until(lambda: bus.next_offset("H26") == 3, "what lay there")
    assert accepted(bus, "H26") == [1, 2, 3]


# ---- bytes that are no event -------------------------------------------------------------------------------------


def poison(bus: Bus) -> list[tuple[bytes | None, str]]:
    """Values that are no event of ours, with the rule that says why."""
    _, good = case(bus, "H26", 900_001)
    schema_id, body = good[1:5], good[5:]
    huge = b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"  # the largest long, as a varint
    negative = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
    head = encode_envelope(envelope(1, "H26", 1).model_copy(update={"portal": "Not A Portal"}))
    return [
        (None, "record.empty"),
        (b"", "record.empty"),
        (b"\x00", "record.not-avro"),
        (b"\x00\x00\x00\x00\x01", "record.not-avro"),
        (b'{"event":"plain JSON"}', "record.not-avro"),
        (b"\x01" + good[1:], "record.not-avro"),
        (frame(0x7FFFFFFF, body), "record.schema-not-allowed"),
        (frame(0xFFFFFFFF, body), "record.schema-not-allowed"),
        (frame(bus.schema_ids["Verdict"], body), "record.schema-not-allowed"),
        (good + b"\x00", "record.trailing-bytes"),
        (good + good, "record.trailing-bytes"),
        (good[:-1], "record.undecodable"),
        (b"\x00" + schema_id + huge, "record.undecodable"),
        (b"\x00" + schema_id + negative, "record.undecodable"),
        (b"\x00" + schema_id + b"\xff" * 2_000, "record.undecodable"),
        (b"\x00" + schema_id + b"\xc8\x01" + b"\xff" * 100 + body, "record.undecodable"),
        (b"\x00" + schema_id + head + encode_payload(receipt()), "record.shape"),
        (os.urandom(1_048_576), "record.too-large"),
        (b"\x00" + schema_id + b"\x00" * (256 * 1024), "record.too-large"),
    ]


def test_every_kind_of_poison_is_parked_as_it_came_and_the_lanes_go_on(bus: Bus) -> None:
    worker = bus.start_worker()
    bad = poison(bus)
    for number, (value, _) in enumerate(bad, start=1):
        bus.publish("H26", [case(bus, "H26", number), (b"k", value)])
        bus.publish("H29", [case(bus, "H29", number)])
    nul = manifest("H26").model_copy(update={"sdk": "a\x00b"})
    bus.publish("H26", [(None, manifest_value(nul, bus.schema_ids)), case(bus, "H26", len(bad) + 1)])
    total = 2 * len(bad) + 2
    bus.wait_until(lambda: bus.next_offset("H26") == total and bus.next_offset("H29") == len(bad), "all records")
    parked = rows(bus.look, "select lane_offset, value, reason, record_key from ledger.parked order by lane_offset")
    with promised():
        assert [(offset, reason) for offset, _, reason, _ in parked] == [
            (2 * index + 1, rule) for index, (_, rule) in enumerate(bad)
        ]
        assert [value for _, value, _, _ in parked] == [value for value, _ in bad]
        assert {key for *_, key in parked} == {b"k"}
        assert accepted(bus, "H26") == list(range(1, len(bad) + 2))
        assert accepted(bus, "H29") == list(range(1, len(bad) + 1))
    assert_sound(bus.look)
    assert worker.stop() == 0, worker.text()
    assert worker.said("worker.stopped")
    assert "plain JSON" not in worker.text()


class _NotUtf8(str):
    """A header name that goes out as bytes that are no UTF-8."""

    def encode(self, *_: object) -> bytes:
        return b"\xff\xfe name"


def test_a_header_name_that_is_no_text_does_not_stop_the_worker(bus: Bus) -> None:
    builder = _DefaultRecordBatchBuilderPy(2, 0, False, -1, -1, -1, 100_000)
    key, value = case(bus, "H26", 1)
    assert builder.append(0, 0, key, value, [(_NotUtf8("x"), b"v")])
    send_raw(bus.endpoints.bootstrap, "lane.H26", bytes(builder.build()))
    bus.publish("H26", [case(bus, "H26", 2)])
    bus.publish("H29", [case(bus, "H29", n) for n in range(1, 101)])
    worker = bus.start_worker()
    bus.wait_until(lambda: bus.next_offset("H26") == 2, "both records", 40)
    assert accepted(bus, "H26") == [1, 2]
    assert worker.process.poll() is None
    with LaneReader(bus.endpoints.bootstrap) as lanes:
        assert len(lanes.take("H29", 0, 100)) == 100, "CPython has shortened the calls that ran often"
        assert [record.offset for record in lanes.take("H26", 0, 2)] == [0, 1], "a rebuild reads it too"


def test_a_record_that_kills_its_decoder_is_parked_and_no_other_is(bus: Bus) -> None:
    deadly = case(bus, "H26", 40, subject="kills the decoder")
    headers = cloudevents_headers(envelope(1_000_040, "H26", 40), "FeedbackReceived")
    bus.publish("H26", [case(bus, "H26", n) for n in range(1, 40)])
    bus.publish_records("H26", [(*deadly, headers)])
    bus.publish("H26", [case(bus, "H26", n) for n in range(41, 101)])
    bus.publish("H29", [case(bus, "H29", n) for n in range(1, 101)])
    worker = bus.start_worker(PYTHONPATH=str(SEAM))
    bus.wait_until(lambda: bus.next_offset("H26") == bus.next_offset("H29") == 100, "both lanes' ends", 40)
    assert worker.process.poll() is None, "the worker outlives its decoder"
    with promised():
        assert rows(bus.look, "select agency, lane_offset, reason, value from ledger.parked") == [
            ("H26", 39, "record.crashed-worker", deadly[1])
        ]
        assert accepted(bus, "H26") == [n for n in range(1, 101) if n != 40]
        assert accepted(bus, "H29") == list(range(1, 101))
    assert worker.said("intake.deadly-record-parked")
    bus.publish("H26", [case(bus, "H26", 101)])
    bus.wait_until(lambda: bus.next_offset("H26") == 101, "the lane to go on")
    assert_sound(bus.look)


# ---- what it measures ----------------------------------------------------------------------------------------------


def test_the_lag_that_a_worker_shows_is_what_the_ledger_has_not_of_its_lanes(bus: Bus) -> None:
    port = free_port()
    worker = bus.start_worker(**{PORT_VARIABLE: str(port)})

    def lags() -> dict[str, float]:
        text = httpx2.get(f"http://127.0.0.1:{port}/metrics").text
        return {agency: float(lag) for agency, lag in re.findall(r'lane_lag{agency="(\w+)"} ([\d.e+]+)', text)}

    bus.publish("H26", [case(bus, "H26", 1)])
    bus.wait_until(lambda: bus.next_offset("H26") == 1, "the worker works")
    with psycopg.connect(bus.database_url) as holding:
        holding.execute("select from ledger.position for update")  # nothing is committed until this is over
        for agency, numbers in (("H26", range(2, 2_002)), ("H29", range(1, 501))):
            bus.publish(agency, [case(bus, agency, n) for n in numbers])
        behind = {"H26": 2_000.0, "H29": 500.0, "G22": 0.0, "G09": 0.0}
        bus.wait_until(lambda: lags() == behind, "the lag to be the end of each lane less what the ledger has", 30)
    bus.wait_until(lambda: not any(lags().values()), "no lag")
    assert (bus.next_offset("H26"), bus.next_offset("H29")) == (2_001, 500)
    assert worker.process.poll() is None


# ---- deaths under load -------------------------------------------------------------------------------------------


class Load:
    """Portals of all agencies that go on publishing; what the broker has confirmed counts as sent."""

    def __init__(self, bus: Bus, per_second: int) -> None:
        self.sent = dict.fromkeys(AGENCIES, 0)
        self._bus, self._pause = bus, len(AGENCIES) * 20 / per_second
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stops publishing; everything is confirmed afterwards."""
        self._stopped.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._stopped.wait(self._pause):
            for agency in AGENCIES:
                first = self.sent[agency] + 1
                self._bus.publish(agency, [case(self._bus, agency, n) for n in range(first, first + 20)])
                self.sent[agency] += 20


@pytest.mark.parametrize(
    ("both", "single", "events", "within"),
    [
        (4, 2, 0, 300.0),
        pytest.param(13, 4, 60_000, 240.0, marks=[pytest.mark.chaos, pytest.mark.timeout(600)], id="60,000 events"),
    ],
)
def test_workers_killed_again_and_again_under_load_lose_nothing_and_repeat_nothing(
    bus: Bus, both: int, single: int, events: int, within: float
) -> None:
    seed = fresh_seed("workers killed again and again")
    random = Random(seed)
    began = time.monotonic()
    load = Load(bus, per_second=400)
    workers = [bus.start_worker(), bus.start_worker()]
    kills = 0

    def progress() -> None:
        before = bus.position()
        bus.wait_until(lambda: bus.position() > before, "progress")
        time.sleep(random.random() * 0.4)  # the kill comes at any instant of the work, not at its beginning

    for _ in range(both):  # both at once: a new group, so that nobody waits for the dead one's session to end
        progress()
        for worker in random.sample(workers, 2):
            worker.kill()
            kills += 1
        bus.group = f"{bus.group}+"
        workers = [bus.start_worker(), bus.start_worker()]
    for _ in range(single):  # one of two that share the lanes: the other takes over
        progress()
        bus.wait_until(lambda: all(map(bus.lanes_of, workers)), "both at work")
        workers.pop(random.randrange(2)).kill()
        kills += 1
        workers.append(bus.start_worker())
    bus.wait_until(lambda: sum(load.sent.values()) >= events, "enough events", within)
    load.stop()
    finished = bus.wait_until(lambda: all(bus.next_offset(agency) == n for agency, n in load.sent.items()), "the end")
    took = time.monotonic() - began
    print(
        f"\nseed {seed}: {kills} kills, {sum(load.sent.values())} events in {took:.0f} s, of which the rest took"
        f" {finished:.1f} s"
    )
    assert_each_once_in_order(bus, load.sent)
    assert took <= within
    bus.wait_until(lambda: all(worker.said("worker.started") for worker in workers), "all have started")
    for worker in workers:
        assert worker.stop() == 0, worker.text()


@pytest.mark.parametrize(
    ("freezes", "events"),
    [
        (1, 0),
        pytest.param(10, 60_000, marks=[pytest.mark.chaos, pytest.mark.timeout(900)], id="ten times, 60,000 events"),
    ],
)
def test_a_worker_frozen_past_its_session_wakes_and_repeats_nothing(bus: Bus, freezes: int, events: int) -> None:
    load = Load(bus, per_second=400)
    frozen, other = bus.start_worker(), bus.start_worker()
    for _ in range(freezes):
        bus.wait_until(lambda: bus.lanes_of(frozen) == bus.lanes_of(other) == 2, "two lanes each")
        frozen.process.send_signal(signal.SIGSTOP)
        bus.wait_until(lambda: bus.lanes_of(other) == 4, "the takeover")
        before = {agency: bus.next_offset(agency) for agency in AGENCIES}
        bus.wait_until(
            lambda: all(bus.next_offset(agency) > before[agency] for agency in AGENCIES), "each lane goes on"
        )
        frozen.process.send_signal(signal.SIGCONT)
        bus.wait_until(lambda: bus.lanes_of(other) == 2, "lanes given back")
        frozen, other = other, frozen
    bus.wait_until(lambda: sum(load.sent.values()) >= events, "enough events", 300)
    load.stop()
    bus.wait_until(lambda: all(bus.next_offset(agency) == n for agency, n in load.sent.items()), "the end")
    print(f"\n{freezes} freezes, {sum(load.sent.values())} events; fenced: {fenced(frozen, other)}")
    assert_each_once_in_order(bus, load.sent)
    assert frozen.process.poll() is None, frozen.text()
    assert other.process.poll() is None, other.text()


def fenced(*workers: Running) -> str:
    """What workers brought that was no longer theirs to bring: batches dropped by themselves, records by the ledger."""
    dropped = [line for worker in workers for line in worker.said("edge.stale-batch-dropped")]
    replayed = [line for worker in workers for line in worker.said("intake.replayed")]
    records = sum(line["records"] for line in dropped), sum(line["records"] for line in replayed)
    return (
        f"{records[0]} records in {len(dropped)} batches dropped as stale, {records[1]} in {len(replayed)} passed over"
        " by the ledger"
    )


@promised()
def assert_each_once_in_order(bus: Bus, sent: dict[str, int]) -> None:
    """Nothing lost, nothing twice, nothing parked, each source in its order."""
    assert rows(bus.look, "select agency, lane_offset, reason from ledger.parked") == []
    assert rows(bus.look, "select distinct rule from ledger.event") == [("event.accepted",)]
    for agency, count in sent.items():
        assert accepted(bus, agency) == list(range(1, count + 1))
        by_position = "select lane_offset from ledger.judgement where agency = %s order by position"
        assert [offset for (offset,) in rows(bus.look, by_position, agency)] == list(range(count))
    assert one(bus.look, "select count(*) from ledger.case") == sum(sent.values())
    assert one(bus.look, "select count(*) from ledger.gap") == 0
    assert_sound(bus.look)


# ---- starting and refusing to go on ------------------------------------------------------------------------------


def test_a_worker_that_has_seen_the_registry_once_starts_without_it(bus: Bus) -> None:
    registry_url = bus.endpoints.registry_url
    with OpenWay(registry_url) as way:
        bus.endpoints = replace(bus.endpoints, registry_url=way.through(registry_url))
        first = bus.start_worker()
        bus.wait_until(lambda: bus.lanes_of(first) == 4, "the first start")
        assert first.stop() == 0
    bus.publish("H26", [case(bus, "H26", 1)])
    second = bus.start_worker()
    bus.wait_until(lambda: accepted(bus, "H26") == [1], "an event without a registry")
    assert not second.said("registry.away")


def test_a_worker_that_waits_for_the_registry_stops_when_it_is_told_to(bus: Bus) -> None:
    registry_url = bus.endpoints.registry_url
    with OpenWay(registry_url) as way:
        bus.endpoints = replace(bus.endpoints, registry_url=way.through(registry_url))
    worker = bus.start_worker()
    bus.wait_until(lambda: bool(worker.said("registry.away")), "the worker to miss the registry")
    assert worker.stop(within=5) == 0


def test_a_worker_whose_database_is_away_stops_when_it_is_told_to_and_the_next_one_does_its_work(bus: Bus) -> None:
    with OpenWay(bus.database_url) as way:
        worker = bus.start_worker(PORTALBUS_DATABASE=way.through(bus.database_url))
        bus.publish("H26", [case(bus, "H26", 1)])
        bus.wait_until(lambda: bus.next_offset("H26") == 1, "an event by that way")
    bus.publish("H26", [case(bus, "H26", 2)])
    bus.wait_until(lambda: len(worker.said("database.away")) > 3, "the worker to miss the database")
    assert worker.stop(within=10) == 0, worker.text()
    bus.start_worker()
    bus.wait_until(lambda: accepted(bus, "H26") == [1, 2], "what was in its hand")


def test_events_deleted_before_they_were_read_stop_the_worker_with_a_clear_word(bus: Bus) -> None:
    bus.publish("H26", [case(bus, "H26", n) for n in range(1, 21)])
    admin = AdminClient({"bootstrap.servers": bus.endpoints.bootstrap})
    admin.delete_records([TopicPartition("lane.H26", 0, 5)])[TopicPartition("lane.H26", 0)].result(30)
    worker = bus.start_worker()
    assert stopped_itself(worker) == {
        "lane": "lane.H26",
        "ledger_next": 0,
        "lane_start": 5,
        "reason": "events expired before the ledger read them; an operator must say where to read on",
    }
    assert accepted(bus, "H26") == []


def stopped_itself(worker: Running) -> dict[str, object]:
    """Waits for a worker's fail-stop; returns what it said."""
    assert worker.process.wait(60) == 70, worker.text()
    (line,) = worker.said("worker.fail-stop")
    return {name: line[name] for name in line if name not in ("event", "level", "timestamp", "process")}


def test_the_ledgers_offset_moved_back_by_somebody_stops_the_worker_with_the_place(bus: Bus) -> None:
    worker = bus.start_worker()
    bus.publish("H26", [case(bus, "H26", n) for n in range(1, 11)])
    bus.wait_until(lambda: bus.next_offset("H26") == 10, "ten events")
    bus.look.execute("update ledger.lane set next_offset = 4 where agency = 'H26'")
    bus.publish("H26", [case(bus, "H26", 11)])
    said = stopped_itself(worker)
    assert said["jump"] == "lane.H26: record 10 came, the ledger expects 4"


def test_a_small_batch_that_unpacks_to_a_huge_one_is_refused_by_the_broker(bus: Bus) -> None:
    bomb = Producer(
        {
            "bootstrap.servers": bus.endpoints.bootstrap,
            "compression.type": "zstd",
            "linger.ms": 60_000,  # one batch on any machine: what ends the wait is the flush
            "message.max.bytes": 200_000_000,
            "batch.size": 200_000_000,
        }
    )
    refused: list[KafkaError | None] = []
    for _ in range(50):
        bomb.produce("lane.H26", bytes(1_000_000), on_delivery=lambda error, _: refused.append(error))
    assert bomb.flush(30) == 0
    assert len(refused) == 50
    assert {error and error.code() for error in refused} == {KafkaError.MSG_SIZE_TOO_LARGE}
