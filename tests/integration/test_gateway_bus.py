"""The gateway before a whole bus: batches over a killed gateway, bad payloads, verdicts, and the sample clients."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from bad_payloads import bad_payloads
from bus_events import envelope
from event_stream_reader import Sent, events
from gateway_process import BATCH, GatewayProcess, cloud_event, directive, feedback, post
from ledger_facts import assert_sound, rows
from portalbus.infra.stack import Endpoints
from portalbus.producers import new_event_id
from portalbus.schemas.codec import encode_envelope, encode_payload, frame
from whole_bus import Bus

pytestmark = pytest.mark.chaos  # minutes long: run by name, not by `make test`

CLIENTS = Path(__file__).parents[2] / "connectors" / "examples" / "gateway"
COMMANDS = {
    "publish.sh": ("sh", "curl"),
    "publish.php": ("php",),
    "publish.mjs": ("node",),
    "Publish.java": ("java",),
}
POSTERS, EVENTS = 20, 200
KILLS_AFTER_S = (0.03, 0.9, 1.2)
"""curl comes back a second after it was cut off: one kill in the first storm, one before and one in the next."""


@pytest.fixture(scope="module")
def bus(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path_factory.mktemp("gateway-bus"), ("H26", "H29")).open()
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


def judged(bus: Bus, portal: str) -> list[tuple[Any, ...]]:
    """Event id, status and rule of every event of a portal, in the order of the lane."""
    return rows(
        bus.look,
        "select event_id::text, status, rule from ledger.event where agency = 'H26' and portal = %s"
        " order by lane_offset",
        portal,
    )


def test_a_batch_posted_twenty_times_over_a_gateway_killed_three_times_takes_effect_once(
    bus: Bus, tmp_path: Path
) -> None:
    gateway = GatewayProcess(bus.endpoints, tmp_path, "--canary-s", "0")
    key = gateway.key("H26", "killed")
    batch = tmp_path / "batch.json"
    batch.write_text(json.dumps([cloud_event(feedback(number), "/H26/killed") for number in range(EVENTS)]))
    gateway.start()
    posters = [curl(gateway, key, batch, tmp_path / f"answer{number}", number % 2 == 0) for number in range(POSTERS)]
    for seconds in KILLS_AFTER_S:
        kill_at = time.monotonic() + seconds
        while time.monotonic() < kill_at:
            time.sleep(0.005)
        gateway.kill()
        gateway.start(ready=False)
    for poster in posters:
        status, errors = poster.communicate(timeout=120)
        assert poster.returncode == 0, errors
        assert status == "202", (tmp_path / "answer0").read_text()[:500]
    answers = {(tmp_path / f"answer{number}").read_bytes() for number in range(POSTERS)}
    assert len(answers) == 1, "the answers differ"
    told = json.loads(answers.pop())
    assert [result["sequence"] for result in told["results"]] == list(range(1, EVENTS + 1))

    ids = [result["id"] for result in told["results"]]
    bus.wait_until(lambda: len({event_id for event_id, *_ in judged(bus, "killed")}) == EVENTS, "every event")
    assert gateway.stop() == 0, gateway.log.read_text()[-3_000:]
    found = judged(bus, "killed")
    assert [event_id for event_id, status, _ in found if status == "ACCEPTED"] == ids, "each once, in order"
    assert {status for _, status, _ in found} <= {"ACCEPTED", "DUPLICATE"}


def curl(gateway: GatewayProcess, key: str, batch: Path, answer: Path, keyed: bool) -> subprocess.Popen[str]:
    command = ["curl", "-sS", "-o", str(answer), "-w", "%{http_code}", "--retry", "60", "--retry-all-errors"]
    command += ["--retry-delay", "1", "-H", f"Authorization: Bearer {key}", "-H", f"Content-Type: {BATCH}"]
    if keyed:
        command += ["-H", "Idempotency-Key: the-same-for-all"]
    command += ["--data-binary", f"@{batch}", f"{gateway.address}/v1/events"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_bad_payloads_meet_the_same_rule_at_the_gateway_and_at_the_centre_and_none_gets_in(
    bus: Bus, gateway: GatewayProcess
) -> None:
    bad = bad_payloads()
    rules: dict[str, str] = {}
    with gateway.client(gateway.key("H26", "bad")) as client:
        for one in bad:
            answer = post(client, cloud_event(one.base, "/H26/bad", data=one.data))
            assert 400 <= answer.status_code < 500, (one.name, answer.text)
            rules[one.name] = answer.json()["rule"]
        batch = post(client, [cloud_event(one.base, "/H26/bad", data=one.data) for one in bad])
    assert len(rules) >= 200
    assert [item["problem"]["rule"] for item in batch.json()["results"]] == list(rules.values())

    # What Avro can write at all goes on the lane as a sender without SDK or gateway would put it there.
    sent: list[tuple[str, bytes]] = []
    for one in bad:
        record = one.record
        try:
            body = encode_payload(record) if record is not None else None
        except Exception:  # whatever fastavro says to a value that the schema has no place for
            body = None
        if body is not None:
            head = envelope(5_000_000 + len(sent), "H26", len(sent) + 1, portal="raw")
            sent.append((one.name, frame(bus.schema_ids[one.base.event_type], encode_envelope(head) + body)))
    bus.publish("H26", [(None, value) for _, value in sent])
    bus.wait_until(lambda: len(judged(bus, "raw")) == len(sent), "every bad record")
    found = {name: rule for (name, _), (_, _, rule) in zip(sent, judged(bus, "raw"), strict=True)}
    assert found == {name: rules[name] for name, _ in sent}
    assert len(found) >= 60
    assert judged(bus, "bad") == []


def test_verdicts_come_back_by_long_poll_and_as_a_stream(bus: Bus, gateway: GatewayProcess) -> None:
    key = gateway.key("H26", "asking")
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
        said = [cloud_event(directive(number), "/H26/asking") for number in (1, 2, 3)]
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
    with gateway.client(gateway.key("H26", None)) as client:
        assert client.get("/v1/verdicts").json()["rule"] == "gateway.portal-missing"
        assert len(client.get("/v1/verdicts", params={"portal": "asking"}).json()["verdicts"]) == 3


@pytest.mark.parametrize("client", COMMANDS)
def test_a_client_with_nothing_but_its_standard_library_publishes_and_hears_the_verdict(
    client: str, gateway: GatewayProcess, tmp_path: Path
) -> None:
    needed = COMMANDS[client]
    if missing := [program for program in needed if shutil.which(program) is None]:
        pytest.skip(f"{missing[0]} is not installed")
    source = f"/H26/{client.lower().replace('.', '-')}"
    good = {**json.loads((CLIENTS / "directive.json").read_text()), "directive_id": f"of-{client}"}
    environment = {
        **os.environ,
        "GATEWAY_URL": gateway.address,
        "GATEWAY_KEY": gateway.key("H26", source.rpartition("/")[2]),
        "GATEWAY_SOURCE": source,
        "GATEWAY_LANGUAGE": "en",
    }

    def run(data: dict[str, Any], *more: str) -> tuple[int, str]:
        file = tmp_path / "data.json"
        file.write_text(json.dumps(data, ensure_ascii=False))
        command: Sequence[str] = [needed[0], str(CLIENTS / client), "DirectivePublished", str(file), *more]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout + done.stderr

    event_id = new_event_id()
    status, said = run(good, event_id)
    assert status == 0, said
    assert f"H26/of-{client}" in said
    assert "event.accepted" in said
    first = said.splitlines()[0]
    status, said = run(good, event_id)
    assert (status, said.splitlines()[0]) == (0, first), "the same id gets the first receipt"
    status, said = run({**good, "canonical_url": "no address"})
    assert status == 1, said
    assert "text.address-not-web" in said


def test_every_event_that_came_through_the_gateway_has_one_final_verdict(bus: Bus) -> None:
    final = rows(bus.look, "select event_id::text from ledger.event where final and status = 'ACCEPTED'")
    assert not [event_id for event_id, count in Counter(final).items() if count > 1]
