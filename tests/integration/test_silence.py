"""A real source stops and comes back: one alert each, whoever keeps watch; its canary comes through and back."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from fastavro import schemaless_reader
from psycopg import AsyncConnection

from ledger_facts import one, rows
from portalbus.infra.stack import Endpoints
from portalbus.schemas import avro_files
from portalbus.schemas.codec import unframe
from portalbus.schemas.notices import Alert, AlertStatus
from portalbus.schemas.topics import ALERTS, CANONICAL
from portalbus.streams.reading.pool import connection_arguments
from portalbus.streams.reading.tally import VerdictTally
from whole_bus import Bus, Running

SUPPORT = Path(__file__).parents[1] / "support"
WATCH = {"PORTALBUS_WATCH_SECONDS": "0.3", "PORTALBUS_SILENT_AFTER": "3"}


@pytest.fixture
def bus(endpoints: Endpoints, tmp_path: Path) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path, ("H26",)).open()
    yield bus
    bus.close()


@contextmanager
def portal_process(
    bus: Bus, portal: str = "www", canary: float = 0, days_ahead: float = 0
) -> Iterator[subprocess.Popen[str]]:
    endpoints = bus.endpoints
    where = (str(bus.folder / "outbox"), "H26", portal, endpoints.bootstrap, endpoints.registry_url)
    process = subprocess.Popen(
        [sys.executable, str(SUPPORT / "heartbeat_process.py"), *where, "0.5", str(canary), str(days_ahead * 86_400)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in filter(None, (process.stdin, process.stdout)):
            pipe.close()


def alerts(bus: Bus) -> list[tuple[str, bool]]:
    """Kind of each alert in the ledger, oldest first, and whether it is open."""
    return [
        (kind, still_open)
        for kind, still_open in rows(bus.look, "select kind, closed_at is null from ledger.alert order by raised_at")
    ]


def told(bus: Bus) -> list[Alert]:
    """The alerts on the topic, as a reader of committed records sees them, by the time they were made."""
    consumer = Consumer(
        {
            "bootstrap.servers": bus.endpoints.bootstrap,
            "group.id": "tests",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
    )
    found = []
    for partition in range(3):
        consumer.assign([TopicPartition(ALERTS, partition, OFFSET_BEGINNING)])
        while (message := consumer.poll(10)) is not None and message.error() is None:
            _, body = unframe(message.value())
            raw: Any = schemaless_reader(BytesIO(body), avro_files.parsed("Alert"), None)
            found.append(Alert.model_validate(raw))
    consumer.close()
    return sorted(found, key=lambda alert: alert.closed_at or alert.raised_at)


def heard_until(bus: Bus) -> datetime:
    found: datetime = one(
        bus.look, "select coalesce(max(heard_until), 'epoch') from ledger.hearing where agency = 'H26'"
    )
    return found


def wait_for_looks(bus: Bus, seconds: float) -> None:
    """Until the watch has gone on for so long."""
    start = heard_until(bus)
    bus.wait_until(lambda: (heard_until(bus) - start).total_seconds() > seconds, "the watch goes on")


def state(bus: Bus) -> str:
    found = rows(bus.look, "select state from ledger.cadence where portal = 'www' and event_type = ''")
    return found[0][0] if found else ""


def running(bus: Bus) -> Running:
    worker = bus.start_worker(**WATCH)
    bus.start_relay()
    return worker


def test_a_source_that_dies_is_named_once_and_once_more_when_it_is_back(bus: Bus) -> None:
    worker = running(bus)
    with portal_process(bus):
        bus.wait_until(lambda: state(bus) == "ok", "the source is known")
        wait_for_looks(bus, 4)
        assert alerts(bus) == []
    delay = bus.wait_until(lambda: alerts(bus) == [("source.silent", True)], "the silent source is named")
    print(f"named {delay:.1f} s after kill -9, with a bound of 3 s")
    worker.kill()
    bus.start_worker(**WATCH)
    wait_for_looks(bus, 2)
    assert alerts(bus) == [("source.silent", True)]
    with portal_process(bus):
        bus.wait_until(lambda: alerts(bus) == [("source.silent", False)], "the source is back")
        wait_for_looks(bus, 1)
        assert alerts(bus) == [("source.silent", False)]
        bus.wait_until(lambda: len(told(bus)) == 2, "both alerts are on the topic")
    raised, over = told(bus)
    assert (raised.status, over.status) == (AlertStatus.OPEN, AlertStatus.CLOSED)
    assert raised.id == over.id
    assert (raised.agency, raised.portal, raised.event_type) == ("H26", "www", None)
    assert "H26/www" in raised.message.vi and "H26/www" in over.message.zh


def an_hour_ahead() -> dict[str, str]:
    """The environment of a process whose clock is wrong; empty where libfaketime is not installed."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    # With the monotonic clock set wrong as well, whoever waits for a while would wait an hour longer.
    wrong = {"FAKETIME": "+1h", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
    return {"LD_PRELOAD": str(found[0]), **wrong} if found else {}


def hours_ahead(worker: Running) -> float:
    """By how much the clock of a worker was ahead when it said something last."""
    *_, last = worker.said("edge.positioned")
    said = datetime.fromisoformat(last["timestamp"]).timestamp()
    return (said - worker.log.stat().st_mtime) / 3_600


def test_clocks_that_are_days_off_are_named_until_they_are_right_and_change_no_order(bus: Bus) -> None:
    worker = bus.start_worker(**WATCH, **an_hour_ahead())
    bus.start_relay()
    clocks = {"ahead": 3.0, "behind": -3.0, "right": 0.0}
    off = "select portal, closed_at is null from ledger.alert where kind = 'source.clock-off' order by portal"
    with ExitStack() as portals:
        for portal, days_ahead in clocks.items():
            process = portals.enter_context(portal_process(bus, portal, days_ahead=days_ahead))
            assert process.stdin is not None
            process.stdin.writelines(f"{portal}-{number}\n" for number in range(20))
            process.stdin.flush()
        bus.wait_until(lambda: rows(bus.look, off) == [("ahead", True), ("behind", True)], "both clocks are named")
        bus.wait_until(lambda: one(bus.look, "select count(*) from ledger.event") == 60, "everything is judged")
    found = rows(
        bus.look, "select portal, avg(extract(epoch from published_at - received_at)) from ledger.event group by 1"
    )
    days_off = {portal: float(seconds) / 86_400 for portal, seconds in found}
    assert days_off == pytest.approx(clocks, abs=0.01), "the portals' clocks were not off"
    judged = (
        "select array_agg(sequence order by position), array_agg(distinct rule) from ledger.event where portal = %s"
    )
    for portal in clocks:
        rule = "time.implausible" if portal == "ahead" else "event.accepted"
        assert rows(bus.look, judged, portal) == [(list(range(1, 21)), [rule])]
    with portal_process(bus, "ahead"), portal_process(bus, "behind"):
        bus.wait_until(lambda: rows(bus.look, off) == [("ahead", False), ("behind", False)], "both are right again")
    print(f"\nportals' clocks off by {days_off} days, the worker's by {hours_ahead(worker):.2f} hours")
    if not an_hour_ahead():
        pytest.skip("all this holds, but with a worker whose clock is right: libfaketime is not installed")
    assert hours_ahead(worker) == pytest.approx(1, abs=0.05), "the worker's clock was not off"


def test_a_source_that_says_good_bye_is_not_called_silent_at_once(bus: Bus) -> None:
    running(bus)
    with portal_process(bus) as process:
        bus.wait_until(lambda: state(bus) == "ok", "the source is known")
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(20) == 0
    promise = "select promise_s from ledger.cadence where portal = 'www' and event_type = ''"
    bus.wait_until(lambda: one(bus.look, promise) == 0, "its good-bye is heard")
    wait_for_looks(bus, 5)
    assert alerts(bus) == []


def test_a_canary_comes_through_and_back_and_nobody_sees_it(bus: Bus) -> None:
    running(bus)
    returned = "select count(*) from ledger.canary where round_trip_ms is not null"
    with portal_process(bus, canary=0.5):
        bus.wait_until(lambda: one(bus.look, returned) == 1, "a canary's return is told")
    round_trip, unreturned = rows(bus.look, "select round_trip_ms, unreturned from ledger.canary")[0]
    print(f"round trip of a canary: {round_trip} ms")
    assert 0 < round_trip < 30_000
    assert unreturned >= 0
    judged = rows(bus.look, "select distinct event_type, status, rule from ledger.event")
    assert judged == [("Canary", "ACCEPTED", "event.canary")]
    assert one(bus.look, "select count(*) from ledger.judgement where canonical is not null") == 0
    assert one(bus.look, "select count(*) from ledger.cadence where event_type = 'Canary'") == 0
    assert on_canonical_topics(bus) == 0
    assert asyncio.run(public_tally(bus)) == {}


async def public_tally(bus: Bus) -> dict[str, int]:
    tally = VerdictTally()
    async with await AsyncConnection.connect(bus.database_url, **connection_arguments("tests")) as connection:
        await tally.refresh(connection)
    return dict(tally.totals())


def on_canonical_topics(bus: Bus) -> int:
    consumer = Consumer({"bootstrap.servers": bus.endpoints.bootstrap, "group.id": "tests"})
    try:
        return sum(
            consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)[1]
            for topic in CANONICAL.values()
            for partition in range(3)
        )
    finally:
        consumer.close()
