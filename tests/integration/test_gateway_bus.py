"""The gateway before a whole bus: batches over a killed gateway, bad payloads, verdicts, and the sample clients."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bad_payloads import bad_payloads
from bus_events import envelope
from event_stream_reader import Sent, events
from gateway_clients import assert_a_client_publishes_and_hears
from gateway_process import GatewayProcess, cloud_event, directive, post
from gateway_storm import assert_a_storm_takes_effect_once, judged
from ledger_facts import assert_sound, rows
from portalbus.infra.stack import Endpoints
from portalbus.producers.repair import repair_outbox
from portalbus.schemas.codec import encode_envelope, frame
from whole_bus import Bus

AGENCY = "H44"


@pytest.fixture(scope="module")
def bus(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path_factory.mktemp("gateway-bus"), (AGENCY,)).open()
    bus.start_worker()
    bus.start_relay()
    yield bus
    assert_sound(bus.look)
    bus.close()


@pytest.fixture(scope="module")
def gateway(bus: Bus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    process = GatewayProcess(bus.endpoints, tmp_path_factory.mktemp("gateway"), "--canary-s", "0").start()
    yield process
    assert process.stop() == 0, process.log.read_text()[-3_000:]


def test_a_batch_posted_many_times_over_a_killed_gateway_takes_effect_once(bus: Bus, tmp_path: Path) -> None:
    assert_a_storm_takes_effect_once(bus, tmp_path, AGENCY, posters=6, events=200, kills_after_s=(0.03,))


def test_bad_payloads_meet_the_same_rule_at_the_gateway_and_at_the_centre_and_none_gets_in(
    bus: Bus, gateway: GatewayProcess
) -> None:
    bad = bad_payloads(AGENCY)
    rules: dict[str, str] = {}
    with gateway.client(gateway.key(AGENCY, "bad")) as client:
        for one in bad:
            answer = post(client, cloud_event(one.base, f"/{AGENCY}/bad", data=one.data))
            assert 400 <= answer.status_code < 500, (one.name, answer.text)
            rules[one.name] = answer.json()["rule"]
        together = []
        for begin in range(0, len(bad), 50):
            batch = [cloud_event(one.base, f"/{AGENCY}/bad", data=one.data) for one in bad[begin : begin + 50]]
            answer = post(client, batch)
            assert answer.status_code == 207, answer.text[:500]
            together += [item["problem"]["rule"] for item in answer.json()["results"]]
    assert len(rules) >= 200
    assert together == list(rules.values())

    # What Avro can say at all goes on the lane as a sender without SDK or gateway would put it there.
    sent: list[tuple[str, bytes]] = []
    for one in bad:
        if (body := one.avro) is not None:
            head = envelope(5_000_000 + len(sent), AGENCY, len(sent) + 1, portal="raw")
            sent.append((one.name, frame(bus.schema_ids[one.base.event_type], encode_envelope(head) + body)))
    bus.publish(AGENCY, [(None, value) for _, value in sent])
    bus.wait_until(lambda: len(judged(bus, AGENCY, "raw")) == len(sent), "every bad record")
    found = {name: rule for (name, _), (_, _, rule) in zip(sent, judged(bus, AGENCY, "raw"), strict=True)}
    assert found == {name: rules[name] for name, _ in sent}
    assert len(found) >= 60
    assert judged(bus, AGENCY, "bad") == []


def test_verdicts_come_back_by_long_poll_and_as_a_stream(bus: Bus, gateway: GatewayProcess) -> None:
    key = gateway.key(AGENCY, "asking")
    heard: list[Sent] = []
    begun = threading.Event()

    def listen() -> None:
        with (
            gateway.client(key) as client,
            client.stream("GET", "/v1/verdicts/stream", params={"after": "0"}) as answer,
        ):
            begun.set()
            for sent in events(answer):
                if sent.event == "verdict":
                    heard.append(sent)
                if len(heard) == 3:
                    return

    reader = threading.Thread(target=listen, daemon=True)
    reader.start()
    assert begun.wait(20)
    with gateway.client(key) as client:
        said = [cloud_event(directive(number), f"/{AGENCY}/asking") for number in (1, 2, 3)]
        assert client.get("/v1/verdicts").json() == {"verdicts": [], "next": "0"}
        post(client, said)
        began = time.monotonic()
        page = client.get("/v1/verdicts", params={"event_id": said[2]["id"], "wait": 30}).json()
        assert time.monotonic() - began < 25
        (verdict,) = page["verdicts"]
        assert (verdict["status"], verdict["rule"], verdict["final"]) == ("ACCEPTED", "event.accepted", True)
        everything = client.get("/v1/verdicts", params={"limit": 2}).json()
        rest = client.get("/v1/verdicts", params={"after": everything["next"]}).json()
        told = [*everything["verdicts"], *rest["verdicts"]]
        assert [verdict["event_id"] for verdict in told] == [event["id"] for event in said]
        assert client.get("/v1/verdicts", params={"after": rest["next"], "wait": 0.1}).json()["verdicts"] == []
        assert client.get("/v1/verdicts", params={"portal": "other"}).status_code == 403
    reader.join(30)
    assert [sent.data["event_id"] for sent in heard] == [event["id"] for event in said]
    assert [sent.data["status"] for sent in heard] == ["ACCEPTED"] * 3
    with gateway.client(gateway.key(AGENCY, None)) as client:
        assert client.get("/v1/verdicts").json()["rule"] == "gateway.portal-missing"
        assert len(client.get("/v1/verdicts", params={"portal": "asking"}).json()["verdicts"]) == 3


@pytest.mark.parametrize("client", ["publish.sh", "publish.php", "publish.mjs"])
def test_a_client_with_nothing_but_its_standard_library_publishes_and_hears_the_verdict(
    client: str, gateway: GatewayProcess, tmp_path: Path
) -> None:
    assert_a_client_publishes_and_hears(client, gateway, AGENCY, tmp_path)


def test_a_gateway_that_lost_its_state_does_not_number_anew_until_it_is_repaired(bus: Bus, tmp_path: Path) -> None:
    """Its portal would say two things under one sequence; the centre's verdicts give it away."""
    options = ("--canary-s", "0", "--acknowledge-s", "2")
    said = [cloud_event(directive(number), f"/{AGENCY}/lost") for number in range(900, 905)]

    def publish(gateway: GatewayProcess, event: dict[str, Any]) -> tuple[int, Any]:
        with gateway.client(gateway.key(AGENCY, "lost")) as client:
            answer = post(client, event)
            return answer.status_code, answer.json()

    first = GatewayProcess(bus.endpoints, tmp_path / "first", *options).start()
    assert [publish(first, event)[0] for event in said[:3]] == [202] * 3
    assert first.stop() == 0
    bus.wait_until(lambda: len(judged(bus, AGENCY, "lost")) == 3, "three verdicts")

    second = GatewayProcess(bus.endpoints, tmp_path / "second", *options).start()
    deadline = time.monotonic() + 30
    while (found := publish(second, said[3]))[1]["rule"] != "gateway.outbox-unusable":
        assert found[0] == 503, found
        assert time.monotonic() < deadline
    assert "this outbox did not give" in second.said("gateway.outbox-unusable")[-1]["why"]
    assert second.stop() == 0
    repair_outbox(second.state / "outbox" / AGENCY, AGENCY, "lost")
    second.start()
    answers = [publish(second, event) for event in said[3:]]
    assert second.stop() == 0
    assert [status for status, _ in answers] == [202, 202], answers
    assert {told["epoch"] for _, told in answers} == {2}
    bus.wait_until(lambda: len(judged(bus, AGENCY, "lost")) == 5, "five verdicts")
    assert [event_id for event_id, status, _ in judged(bus, AGENCY, "lost") if status == "ACCEPTED"] == [
        event["id"] for event in said
    ]


def test_every_event_that_came_through_the_gateway_has_one_final_verdict(bus: Bus) -> None:
    final = rows(bus.look, "select event_id::text from ledger.event where final and status = 'ACCEPTED'")
    assert not [event_id for event_id, count in Counter(final).items() if count > 1]
