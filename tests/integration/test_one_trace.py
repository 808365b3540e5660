"""One trace from a portal's publish() over worker and relay to the canonical record, as a collector sees it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from gateway_process import GatewayProcess, cloud_event, post
from ledger_rows import directive
from otlp_collector import OtlpCollector
from portalbus.infra.cli.app import run
from portalbus.infra.stack import Endpoints
from portalbus.producers import Portal
from portalbus.schemas.topics import CANONICAL
from portalbus.schemas.tracing import JUDGE, PUBLISH, RELAY, span_id, trace_id, traceparent
from whole_bus import Bus

AGENCY = "G11"
MARGIN = timedelta(seconds=1)
"""Clocks of PostgreSQL and Kafka."""
GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[OtlpCollector]:
    with OtlpCollector() as collector:
        for name, value in collector.environment.items():
            monkeypatch.setenv(name, value)
        yield collector


@pytest.fixture
def bus(endpoints: Endpoints, collector: OtlpCollector, tmp_path: Path) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path / "bus", (AGENCY,))
    bus.folder.mkdir()
    bus.open()
    bus.start_worker()
    bus.start_relay()
    yield bus
    bus.close()


@pytest.fixture
def gateway(endpoints: Endpoints, bus: Bus, tmp_path: Path) -> Iterator[GatewayProcess]:
    process = GatewayProcess(endpoints, tmp_path).start()
    yield process
    assert process.stop() == 0, process.log.read_text()


def assert_linked(bus: Bus, collector: OtlpCollector, event_id: str, service: str) -> None:
    """Publish, judge and relay are one trace, the first two linked with the trace that the sender gave."""
    steps = (PUBLISH, JUDGE, RELAY)
    bus.wait_until(lambda: len(collector.spans(trace_id(event_id))) == len(steps), "three spans")
    spans = {span.name.split()[0]: span for span in collector.spans(trace_id(event_id))}
    assert [spans[step].service for step in steps] == [service, "portalbus-worker", "portalbus-relay"]
    assert [spans[step].span for step in steps] == [span_id(event_id, step) for step in steps]
    assert [spans[step].parent for step in steps] == ["", spans[PUBLISH].span, spans[JUDGE].span]
    assert [spans[step].links for step in steps] == [(GIVEN.split("-")[1],)] * 2 + [()]
    assert spans[RELAY].attributes["portalbus.rule"] == "event.accepted"
    assert canonical_headers(bus, event_id)["traceparent"] == traceparent(event_id, RELAY)


def canonical_headers(bus: Bus, event_id: str) -> dict[str, str]:
    """The headers of the canonical record of an event."""
    topic = CANONICAL["DirectivePublished"]
    consumer = Consumer(
        {"bootstrap.servers": bus.endpoints.bootstrap, "group.id": "x", "auto.offset.reset": "earliest"}
    )
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(3)])
    found: dict[str, str] = {}

    def look() -> bool:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            given = dict(message.headers() or [])
            headers = {name: value.decode() for name, value in given.items() if isinstance(value, bytes)}
            if headers.get("ce_id") == event_id:
                found.update(headers)
        return bool(found)

    bus.wait_until(look, "the canonical record")
    consumer.close()
    return found


def test_an_event_is_one_trace_from_publish_to_the_canonical_record(
    bus: Bus, collector: OtlpCollector, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ends = bus.endpoints
    outbox = tmp_path / "outbox"
    with Portal(AGENCY, "traced", bootstrap=ends.bootstrap, registry_url=ends.registry_url, outbox=outbox) as portal:
        receipt = portal.publish(directive("traced"), traceparent=GIVEN)
        assert portal.flush(30)
    assert_linked(bus, collector, receipt.event_id, "portalbus-portal")
    capsys.readouterr()
    where = ("--database-url", bus.database_url, "--bootstrap", ends.bootstrap)
    assert run(["trace", receipt.event_id, *where]) == 0
    assert trace_id(receipt.event_id) in capsys.readouterr().out
    assert run(["trace", receipt.event_id, *where, "--json"]) == 0
    (judgement,) = json.loads(capsys.readouterr().out)["events"][0]["judgements"]
    begun, ended = datetime.fromisoformat(judgement["judged_at"]), datetime.now(UTC)
    assert [begun - MARGIN <= datetime.fromisoformat(place["at"]) <= ended for place in judgement["sent_on"]] == [
        True
    ] * 2


def test_what_a_program_posts_to_the_gateway_is_one_trace_linked_with_its_own(
    bus: Bus, collector: OtlpCollector, gateway: GatewayProcess
) -> None:
    event = cloud_event(directive("posted"), f"/{AGENCY}/www")
    with gateway.client(gateway.key(AGENCY)) as client:
        answer = post(client, event, traceparent=GIVEN)
    assert answer.status_code < 300, answer.text
    assert_linked(bus, collector, event["id"], "portalbus-gateway")
