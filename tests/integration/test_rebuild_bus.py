"""A rebuild on a running bus: worker, relay and central portal go on, before, during and after the exchange."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import psycopg
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from bus_events import Lane, answer, directive, manifest, manifest_value, receipt, value_of, withdrawal
from central_process import CentralProcess
from ledger_facts import assert_sound, one, rows
from portalbus.infra.cli.app import run
from portalbus.infra.stack import Endpoints
from portalbus.schemas.codec import Decoded
from portalbus.streams.rebuilding import exchanging
from portalbus.streams.rebuilding.lane_reader import LaneReader
from portalbus_command import COMMAND
from promises import promised
from terminals import on_a_terminal
from whole_bus import Bus, outgoing_topics

AGENCIES = ("G22", "H26", "H29")


@pytest.fixture
def bus(endpoints: Endpoints, tmp_path: Path) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path, AGENCIES).open()
    yield bus
    bus.close()


class Traffic:
    """Portals that go on publishing, with something of everything that the judge has a verdict for."""

    def __init__(self, bus: Bus, seed: int) -> None:
        self.sent: Counter[str] = Counter()
        self._bus, self._random = bus, Random(seed)
        self._lanes = {agency: Lane(agency) for agency in AGENCIES}
        self._stopped = threading.Event()
        self._number = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def publish(self, count: int) -> None:
        """Publishes so many records."""
        for _ in range(count):
            self._number += 1
            self._one(self._lanes[self._random.choice(AGENCIES)], self._number)
        assert self._bus.producer.flush(60) == 0

    def go_on(self) -> None:
        """Publishes until it is stopped."""
        self._thread.start()

    def stop(self) -> None:
        """Stops publishing; everything is confirmed afterwards."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(60)

    def all_taken(self) -> bool:
        """True when the ledger has everything."""
        return all(self._bus.next_offset(agency) == count for agency, count in self.sent.items())

    def _run(self) -> None:
        while not self._stopped.wait(0.1):
            self.publish(20)

    def _one(self, lane: Lane, n: int) -> None:
        kind, name = self._random.random(), f"d-{self._random.randint(1, 60)}"
        events = [item for item in lane.items if isinstance(item.content, Decoded)]
        if kind < 0.03:
            self._send(lane.agency, b"k", b"rubbish")
        elif kind < 0.06:
            heard = manifest(lane.agency, delivered_sequence=0)
            self._send(lane.agency, None, manifest_value(heard, self._bus.schema_ids))
        elif kind < 0.12 and events:
            self._say(lane, lane.again(self._random.choice(events[-50:])))
        elif kind < 0.14:
            lane.next_envelope()  # an event that never comes: a gap
        elif kind < 0.5:
            version = self._random.randint(1, 4)
            payload = withdrawal(name, version) if version > 1 and kind < 0.2 else directive(name, version)
            self._say(lane, lane.say(payload))
        elif kind < 0.8:
            owner = self._random.choice([*AGENCIES, "X99"])
            self._say(lane, lane.say(receipt(f"{lane.agency}-{n // 3:06}", n, addressed_to=owner)))
        else:
            self._say(lane, lane.say(answer(f"{self._random.choice(AGENCIES)}-{n // 3:06}")))

    def _say(self, lane: Lane, item: Any) -> None:
        event = item.content.event
        self._send(lane.agency, event.key.encode(), value_of(event, self._bus.schema_ids))

    def _send(self, agency: str, key: bytes | None, value: bytes) -> None:
        self._bus.producer.produce(f"lane.{agency}", value, key)
        self._bus.producer.poll(0)
        self.sent[agency] += 1


def rebuild(bus: Bus, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Runs `portalbus rebuild --json`; returns its status and its answer."""
    found = bus.command("rebuild", "--json", *arguments)
    assert found.returncode in (0, 1), found.stderr
    return found.returncode, json.loads(found.stdout)


def positions_sent(bus: Bus) -> list[tuple[str, int]]:
    """Topic and ledger position of everything that a read_committed reader finds."""
    consumer = Consumer(
        {
            "bootstrap.servers": bus.endpoints.bootstrap,
            "group.id": "test-rebuild",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    known = consumer.list_topics(timeout=30).topics
    parts = [(topic, number) for topic in outgoing_topics(AGENCIES) for number in known[topic].partitions]
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for topic, number in parts])
    found: list[tuple[str, int]] = []
    ended = 0
    while ended < len(parts):
        message = consumer.poll(30)
        assert message is not None
        if message.error() is not None:
            ended += 1
        else:
            headers = message.headers()
            assert isinstance(headers, list)
            found.append((message.topic() or "", int(dict(headers)["portalbus-position"] or 0)))
    consumer.close()
    return found


@promised()
def assert_agrees(status: int, said: dict[str, Any]) -> None:
    """What the lanes hold, judged once more, gives the rows that are there."""
    assert (status, said["rows"]) == (0, 0), [table for table in said["tables"] if table["first"]]


def test_a_rebuild_under_traffic_agrees_names_what_was_altered_and_exchanges_it_while_all_go_on(
    bus: Bus, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    traffic = Traffic(bus, 11)
    request.addfinalizer(traffic.stop)  # else a test that fails goes on publishing into the next one's topics
    # A worker that reconciles would heal what is altered below before a rebuild could name it.
    worker, relay = bus.start_worker(PORTALBUS_RECONCILE_EVERY="0"), bus.start_relay()
    central = CentralProcess(bus.database_url, tmp_path / "central.log")
    request.addfinalizer(central.stop)
    traffic.publish(3_000)
    bus.wait_until(traffic.all_taken, "the beginning")
    traffic.go_on()
    status, said = rebuild(bus)
    print(f"\n{said['records']} records in {said['seconds']:.1f} s under traffic")
    assert_agrees(status, said)
    assert len(rows(bus.look, "select distinct rule from ledger.event")) >= 8

    newest = "select min(key) from ledger.directive where not withdrawn and version = 4"
    bus.wait_until(lambda: one(bus.look, newest) is not None, "a fourth version")
    key = one(bus.look, newest)
    # The fourth version is the last that the traffic makes: nobody mends this row meanwhile.
    bus.look.execute("update ledger.directive set title = 'Khác' where key = %s", (key,))
    bus.look.execute("delete from ledger.directive_version where key = %s and version = 1", (key,))
    status, said = rebuild(bus)
    named = {
        (row["table"], row["key"]["key"], row["live"] is None) for table in said["tables"] for row in table["first"]
    }
    with promised():
        assert status == 1
        assert named == {("directive", key, False), ("directive_version", key, True)}
    before = bus.position()
    status, said = rebuild(bus, "--swap")
    assert (status, said["rows"], said["exchanged"]) == (1, 2, True)
    assert bus.position() > before, "judging went on meanwhile"

    bus.wait_until(lambda: bus.position() > before + 200, "judging after the exchange")
    traffic.stop()
    bus.wait_until(traffic.all_taken, "the end")
    central.wait_until()
    page = httpx2.get(f"{central.address}/api/v1/directives/{key}", timeout=10)
    assert page.status_code == 200
    assert "Khác" not in page.text
    status, said = rebuild(bus)
    assert_agrees(status, said)
    assert_sound(bus.look)

    last = one(bus.look, "select max(position) from ledger.judgement")
    bus.wait_until(
        lambda: one(bus.look, "select max(position) from ledger.relayed") >= last, "the relay to send everything"
    )
    sent = Counter(positions_sent(bus))
    verdicts = {position for topic, position in sent if topic.startswith("verdict.")}
    with promised():
        assert set(sent.values()) == {1}, "something was sent twice"
        assert {position for (position,) in rows(bus.look, "select position from ledger.judgement")} <= verdicts
    assert central.stop() == 0
    assert worker.stop() == 0, worker.text()
    assert relay.stop() == 0, relay.text()


def test_on_a_terminal_a_rebuild_shows_a_bar_and_a_table_of_what_differs(bus: Bus) -> None:
    traffic = Traffic(bus, 12)
    worker = bus.start_worker()
    traffic.publish(2_000)
    bus.wait_until(traffic.all_taken, "everything")
    assert worker.stop() == 0, worker.text()  # else its own reconciliation may mend the row before
    (key,) = bus.look.execute("select min(key) from ledger.directive").fetchone() or ("",)
    bus.look.execute("update ledger.directive set title = 'Khác' where key = %s", (key,))
    with on_a_terminal([*COMMAND, "rebuild"], bus.environment) as shown:
        said = shown.to_its_end(within=120)
    assert shown.status == 1, said
    assert re.search(r"replaying the lanes\s+[━╸ ]+\s+[0-9,]+ (of|/) ?[0-9,]+ records", said), "a bar that moves"
    assert "✓ replaying the lanes" in said
    assert re.search(r"[0-9]{4} records replayed in [0-9.]+ s", said)
    assert re.search(r"table +in use +rebuilt +missing +added +altered", said)
    assert re.search(r"directive +([0-9]+) +\1 +1\b", said), "one of its rows is altered, none missing or added"
    assert f"directive key={key}: altered" in said
    assert "title: " in said
    assert "Khác" not in said, "of free text only fingerprints are shown"
    assert "✗ 1 rows are not what the lanes say" in said


def test_the_command_says_who_is_in_the_way_of_an_exchange(
    bus: Bus, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    worker = bus.start_worker()
    Traffic(bus, 13).publish(50)
    bus.wait_until(lambda: bus.position() > 20, "some of it")
    assert worker.stop() == 0, worker.text()
    for name, value in bus.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(exchanging, "ATTEMPTS", 2)  # of 40, which take as many seconds
    with psycopg.connect(bus.database_url, application_name="long report") as reader:
        reader.execute("select count(*) from ledger.event")
        session = reader.info.backend_pid
        assert run(["rebuild", "--swap"]) == 3
    said = capsys.readouterr().err
    assert "does not answer" not in said
    assert f"session {session} (long report, " in said
    assert "Nothing was changed" in said


def test_a_lane_that_was_not_read_on_for_a_while_is_read_to_its_end(bus: Bus) -> None:
    """While another lane is asked for, as much of this one comes as is kept; more of it than that is asked for next."""
    count = 20_000  # 10 MB a lane, many fetches
    for agency in ("H26", "H29"):
        bus.publish(agency, [(b"k", b"%d" % number + bytes(500)) for number in range(count)])
    with LaneReader(bus.endpoints.bootstrap) as lanes:
        first = lanes.take("H26", 0, 1)
        lanes.take("H29", 0, count)
        rest = lanes.take("H26", 1, count)
    found = [(record.offset, (record.value or b"").rstrip(bytes(1))) for record in (*first, *rest)]
    assert found == [(number, b"%d" % number) for number in range(count)]
