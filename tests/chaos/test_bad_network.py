"""A bad network between a portal and the broker: publishing goes on at its pace, and all comes in order afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from faulty_network import FaultyNetwork, Weather
from history_checker import check, read_history
from history_recorder import HistoryFile, everything, lane_lines
from history_report import Report
from portalbus.infra.stack import Lines, Stack
from portalbus.infra.stack.kafka import Kafka
from portalbus.infra.stack.ports import LOOPBACK, Ports, is_free
from portalbus.producers.lane_writer import LaneWriter
from portalbus.producers.settings import Settings
from portalbus.schemas.registration import SchemaIds, register_all
from portalbus.schemas.registry import SchemaRegistry
from portalbus.schemas.topics import lane_of, verdicts_of
from promises import promised
from seeds import fresh_seed

AGENCY, NEWCOMER = "H26", "H29"
PROGRAM = Path(__file__).with_name("steady_portal.py")
P99_MS = 20.0
P99_BESIDE_OTHERS_MS = 200.0
"""In the short form other tests use the disk as well; the network's own delays begin at 400 ms."""
GROWN_MB = 60.0
NUMBERED_S, PATIENCE_S = 4.0, 30.0
DRAINED_S = 180.0


class KafkaBehind(Kafka):
    """A broker with a second listener, which tells its clients to come by way of the faulty network."""

    far_port = 0
    way_port = 0

    def _write_settings(self, data: Path) -> Path:
        path = super()._write_settings(data)
        lines = dict(line.split("=", 1) for line in path.read_text().splitlines())
        added = {
            "listeners": f"FAR://{LOOPBACK}:{self.far_port}",
            "advertised.listeners": f"FAR://{LOOPBACK}:{self.way_port}",
            "listener.security.protocol.map": "FAR:PLAINTEXT",
        }
        lines |= {name: f"{lines[name]},{value}" for name, value in added.items()}
        path.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        return path


class StackBehind(Stack):
    """A stack with such a broker."""

    network: FaultyNetwork

    def _build(self, ports: Ports) -> None:
        super()._build(ports)
        self.kafka = kafka = KafkaBehind(
            self.state, ports.kafka, ports.kafka_controller, self._jars("kafka"), self._quick_start("kafka")
        )
        kafka.far_port = next(port for port in range(ports.kafka + 1, 31_000) if is_free(port))
        kafka.way_port = self.network.port
        self.network.to(kafka.far_port)
        self._services = (self.registry, self.kafka, self.postgres)


@pytest.fixture(scope="module")
def network() -> Iterator[FaultyNetwork]:
    with FaultyNetwork(0, fresh_seed("the faults of the network"), lane_of(NEWCOMER)) as network:
        yield network


@pytest.fixture(scope="module")
def stack(network: FaultyNetwork, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackBehind]:
    stack = StackBehind(tmp_path_factory.mktemp("stack"), progress=Lines(), usual_ports=None)
    stack.network = network
    with stack:
        register_all(SchemaRegistry(stack.endpoints.registry_url))
        names = (name for agency in (AGENCY, NEWCOMER) for name in (lane_of(agency), verdicts_of(agency)))
        topics = [NewTopic(name, 1, 1) for name in names]
        admin = AdminClient({"bootstrap.servers": stack.endpoints.bootstrap})
        for made in admin.create_topics(topics).values():
            made.result(30)
        yield stack


def publish_through(
    stack: StackBehind, folder: Path, weathers: Mapping[Weather, float], rate: float, p99_ms: float
) -> None:
    """Publishes at a rate through each weather for so many seconds."""
    ends, network, history = stack.endpoints, stack.network, folder / "history.ndjson"
    way = f"{LOOPBACK}:{network.port}"
    count = round(sum(weathers.values()) * rate)
    arguments = [way, ends.registry_url, str(folder / "outbox"), str(history), f"{AGENCY}/www", str(count), str(rate)]
    with (folder / "portal.log").open("wb") as log:
        portal = subprocess.Popen([sys.executable, str(PROGRAM), *arguments], stdout=subprocess.PIPE, stderr=log)
    try:
        assert portal.stdout is not None
        for weather, seconds in weathers.items():
            network.weather = weather
            time.sleep(seconds)
        network.weather = Weather.CLEAR
        said = (json.loads(line) for line in portal.stdout if line.startswith(b"{"))
        published, drained = next(said), next(said)
        assert portal.wait(60) == 0
    finally:
        portal.kill()
        portal.wait()
    report = lanes_of(stack, history)
    print(f"\n{count} events at {rate:g}/s: {published}, {drained}; {report.figures()}")
    report.must_be_clean()
    assert report.seen["acknowledged"] == count
    assert published["p99_ms"] < p99_ms
    assert drained["grown_mb"] < GROWN_MB
    assert drained["drained_s"] < DRAINED_S


def lanes_of(stack: StackBehind, history: Path) -> Report:
    """What was promised, beside what lies on the lane."""
    file = HistoryFile(history)
    writers = SchemaIds(SchemaRegistry(stack.endpoints.registry_url)).lane_writers()
    file.put(lane_lines(stack.endpoints.bootstrap, [AGENCY], writers))
    file.close()
    return check(read_history(history), stages=("laid",))


def test_a_bad_network_holds_up_no_publishing_and_changes_no_order(stack: StackBehind, tmp_path: Path) -> None:
    weathers = {
        Weather.CLEAR: 3.0,
        Weather.SLOW: 3.0,
        Weather.RESETS: 3.0,
        Weather.BLACKHOLE: 3.0,
    }
    publish_through(stack, tmp_path, weathers, 100, P99_BESIDE_OTHERS_MS)


def test_what_a_broker_refuses_that_is_just_starting_is_not_taken_for_written(
    stack: StackBehind, tmp_path: Path
) -> None:
    """It takes whatever number of a new producer comes first; so a second request must not be on its way."""
    network, answers = stack.network, dict[int, KafkaError | None]()
    network.weather = Weather.STARTING
    settings = Settings(NEWCOMER, "www", f"{LOOPBACK}:{network.port}", stack.endpoints.registry_url, tmp_path)
    writer = LaneWriter(settings, lane_of(NEWCOMER), on_error=lambda error: None)
    begun = time.monotonic()
    while time.monotonic() - begun < NUMBERED_S:  # it gets its producer id meanwhile, and is at rest
        writer.poll(0.1)
    while not network.refused.is_set() and time.monotonic() - begun < PATIENCE_S:
        writer.send(b"key", str(len(answers)).encode(), [], partial(answers.__setitem__, len(answers)))
        answers[len(answers)] = None
        writer.poll(0.02)
    writer.drain(60)
    writer.close()
    network.weather = Weather.CLEAR
    laid = [int(record.value() or b"") for record in everything(stack.endpoints.bootstrap, [lane_of(NEWCOMER)])]
    assert len(answers) >= 2
    with promised():
        assert laid == list(range(len(answers)))


@pytest.mark.chaos
@pytest.mark.timeout(1_200)
def test_ten_minutes_of_bad_network(stack: StackBehind, tmp_path: Path) -> None:
    bad = (Weather.SLOW, Weather.RESETS, Weather.BLACKHOLE, Weather.HALF_OPEN)
    publish_through(stack, tmp_path, {Weather.CLEAR: 5.0, **dict.fromkeys(bad, 150.0)}, 83, P99_MS)
