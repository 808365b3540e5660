"""The gateway over a real bus: ways in, retries, keys, limits, problems, and what it says about itself."""

from __future__ import annotations

import gzip
import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

import gateway_process
from gateway_process import BATCH, STRUCTURED, GatewayProcess, directive, post
from lanes import events_of, make_topics
from portalbus.connectors.gateway.database import KEYS, open_database
from portalbus.connectors.gateway.keys import list_keys, revoke_key
from portalbus.infra.stack import Endpoints
from portalbus.producers import new_event_id
from portalbus.schemas.models import Payload
from portalbus.schemas.registration import register_all
from portalbus.schemas.registry import SchemaRegistry

AGENCY, OTHER = "H60", "H56"
"""Of these tests alone: a lane is shared by all tests of a session, and so are the verdicts that a source hears."""
LIMITS = ("--body-s", "1.5", "--head-s", "1.5", "--canary-s", "0", "--failures-per-minute", "100000")


@pytest.fixture(scope="module")
def gateway(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    register_all(SchemaRegistry(endpoints.registry_url))
    for agency in (AGENCY, OTHER):
        make_topics(endpoints.bootstrap, agency)
    process = GatewayProcess(endpoints, tmp_path_factory.mktemp("gateway"), *LIMITS, *("--metrics-port", "0"))
    process.start()
    yield process
    assert process.stop() == 0, process.log.read_text()[-3_000:]


@pytest.fixture
def www(gateway: GatewayProcess) -> Iterator[httpx2.Client]:
    with gateway.client(gateway.key(AGENCY)) as client:
        yield client


def cloud_event(payload: Payload, source: str = f"/{AGENCY}/www", **attributes: Any) -> dict[str, Any]:
    return gateway_process.cloud_event(payload, source, **attributes)


def feedback(number: int, text: str = "Đèn đường trên phố hỏng.") -> Payload:
    return gateway_process.feedback(number, text, AGENCY)


def taken(answer: httpx2.Response, status: int = 202) -> Any:
    """What is said in an answer with this status; the whole answer when it has another."""
    assert answer.status_code == status, answer.text
    return answer.json()


def on_lane(endpoints: Endpoints, portal: str) -> list[str]:
    return [event.event_id for event in events_of(endpoints.bootstrap, f"lane.{AGENCY}", f"{AGENCY}/{portal}")]


def test_an_event_comes_in_by_every_mode_and_is_on_its_lane_when_202_is_said(
    gateway: GatewayProcess, endpoints: Endpoints
) -> None:
    with gateway.client(gateway.key(AGENCY, "modes")) as client:
        one, two, three, four = (cloud_event(directive(number), f"/{AGENCY}/modes") for number in (1, 2, 3, 4))
        trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        answers = [post(client, one, traceparent=trace), post(client, [two, three])]
        headers = {f"ce-{name}": str(value) for name, value in four.items() if name != "data"}
        answers.append(
            client.post(
                "/v1/events", content=json.dumps(four["data"]), headers={"Content-Type": "application/json", **headers}
            )
        )
    told = [taken(answer) for answer in answers]
    assert told[0] == {
        "status": 202,
        "id": one["id"],
        "source": f"/{AGENCY}/modes",
        "sequence": 1,
        "epoch": 1,
        "key": f"{AGENCY}/ct-1",
    }
    assert [result["sequence"] for result in told[1]["results"]] == [2, 3]
    lane = events_of(endpoints.bootstrap, f"lane.{AGENCY}", f"{AGENCY}/modes")
    assert [event.event_id for event in lane] == [one["id"], two["id"], three["id"], four["id"]]
    assert lane[0].headers["traceparent"] == trace.encode()


def test_a_retry_gets_the_first_receipt_and_other_content_under_its_id_is_refused(
    gateway: GatewayProcess, endpoints: Endpoints
) -> None:
    with gateway.client(gateway.key(AGENCY, "retries")) as client:
        event = cloud_event(feedback(7), f"/{AGENCY}/retries")
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda _: post(client, event).text, range(24)))
        assert len(set(answers)) == 1, set(answers)
        other = post(client, {**event, "data": {**event["data"], "subject": "Khác"}})
        mended = post(client, [event, {**event, "data": {**event["data"], "subject": "Khác"}}])
    assert (other.status_code, other.json()["rule"]) == (409, "event.id-reused")
    assert [result["status"] for result in taken(mended, 207)["results"]] == [202, 409]
    assert on_lane(endpoints, "retries") == [event["id"]]


def test_an_idempotency_key_brings_the_first_answer_to_the_letter(www: httpx2.Client) -> None:
    key = {"Idempotency-Key": f'"{new_event_id()}"'}
    bad = cloud_event(feedback(2))
    del bad["data"]["subject"]
    batch = [cloud_event(feedback(1)), bad]
    first = post(www, batch, **key)
    taken(first, 207)
    again = post(www, batch, **key, **{"Accept-Language": "zh"})
    assert (again.status_code, again.text) == (207, first.text)
    other = post(www, batch[:1], **key)
    assert (other.status_code, other.json()["rule"]) == (409, "gateway.idempotency-key-reused")
    assert post(www, batch, **{"Idempotency-Key": "a" * 200}).json()["rule"] == "gateway.idempotency-key"


def test_a_batch_tells_of_each_item_and_takes_the_good_ones(www: httpx2.Client) -> None:
    good, bad = cloud_event(feedback(11)), cloud_event(feedback(12))
    bad["data"]["regime"] = "R9"
    foreign = cloud_event(feedback(13), f"/{OTHER}/www")
    answer = post(www, [bad, good, foreign, 5, good])
    told = taken(answer, 207)
    assert (told["accepted"], told["refused"]) == (2, 3)
    assert [result["status"] for result in told["results"]] == [422, 202, 403, 422, 202]
    assert told["results"][1]["sequence"] == told["results"][4]["sequence"]
    assert told["results"][0]["problem"]["errors"][0]["pointer"] == "#/data/regime"
    assert post(www, []).json() == {"accepted": 0, "refused": 0, "results": []}


def test_only_the_key_says_for_whom_somebody_speaks(gateway: GatewayProcess, endpoints: Endpoints) -> None:
    event = cloud_event(feedback(1), f"/{AGENCY}/www")

    def answer(key: str | None, said: dict[str, Any] = event) -> tuple[int, str]:
        with gateway.client(key) as client:
            found = post(client, said)
            if found.status_code == 401:
                assert found.headers["www-authenticate"].startswith("Bearer")
            return found.status_code, found.json()["rule"]

    assert answer(None) == (401, "gateway.key-missing")
    assert answer("nonsense") == (401, "gateway.key-unknown")
    assert answer(gateway.key(AGENCY) + "A") == (401, "gateway.key-unknown")
    assert answer(gateway.key(AGENCY)[:20] + "A" * 40) == (401, "gateway.key-unknown")
    assert answer(gateway.key(OTHER, None)) == (403, "lane.agency-mismatch")
    assert answer(gateway.key(AGENCY, "other")) == (403, "gateway.portal-not-yours")
    revoked = gateway.key(AGENCY, "revoked")
    connection = open_database(gateway.state / "keys.sqlite", KEYS)
    assert revoke_key(connection, revoked.split("_")[1])
    assert revoked.split("_")[1] in {key.id for key in list_keys(connection)}
    connection.close()
    deadline = time.monotonic() + 5
    while answer(revoked)[0] != 401:
        assert time.monotonic() < deadline
    assert on_lane(endpoints, "revoked") == []
    noted = [line["key"] for line in gateway.said("gateway.key-refused")]
    assert {None, revoked.split("_")[1]} <= set(noted), "which key was refused can be read afterwards"


@pytest.mark.parametrize(
    ("content", "headers", "status", "rule"),
    [
        (b"{}" + b" " * 2**20, {}, 413, "gateway.body-too-large"),
        (b"[" * 200_000, {}, 400, "gateway.too-deep"),
        (b'{"a":NaN}', {}, 400, "gateway.not-json"),
        (gzip.compress(b"0" * 10**7), {"Content-Encoding": "gzip"}, 415, "gateway.content-encoding"),
        (b"{}", {"Content-Type": "text/xml"}, 415, "gateway.content-type"),
        (b"[" + b"5," * 600 + b"5]", {"Content-Type": BATCH}, 413, "gateway.batch-too-long"),
        (b"{}", {"Content-Type": BATCH}, 400, "gateway.not-json"),
        (b"{}", {"Content-Type": "application/json", "ce-specversion": "1.0", "ce-id": "%ff"}, 400, "gateway.header"),
    ],
)
def test_what_cannot_be_taken_is_refused_in_the_right_words(
    www: httpx2.Client, content: bytes, headers: dict[str, str], status: int, rule: str
) -> None:
    answer = www.post("/v1/events", content=content, headers={"Content-Type": STRUCTURED, **headers})
    assert (answer.status_code, answer.json()["rule"]) == (status, rule)
    assert answer.headers["content-type"] == "application/problem+json"


def test_who_sends_too_slowly_is_not_waited_for(gateway: GatewayProcess) -> None:
    key = gateway.key(AGENCY)
    head = (
        f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: {STRUCTURED}\r\n"
        "Content-Length: 100\r\n\r\n{"
    )
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as slow_body:
        slow_body.sendall(head.encode())
        assert slow_body.recv(1_000).startswith(b"HTTP/1.1 408")
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as slow_head:
        slow_head.sendall(b"POST /v1/events HTTP/1.1\r\nHost:")
        assert slow_head.recv(1_000) == b"", "closed without a word"


def test_who_is_too_fast_is_told_when_to_come_back(gateway: GatewayProcess) -> None:
    with gateway.client(gateway.key(AGENCY, "fast", rate=1.0)) as client:
        answers = [post(client, {}) for _ in range(12)]
    assert [answer.status_code for answer in answers[:10]] == [422] * 10
    assert answers[-1].status_code == 429
    assert answers[-1].json()["rule"] == "gateway.rate"
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 2


@pytest.mark.parametrize(("language", "word"), [("vi", "Thiếu"), ("en", "missing"), ("zh-CN,zh;q=0.9", "缺少")])
def test_problems_speak_the_language_that_was_asked_for(gateway: GatewayProcess, language: str, word: str) -> None:
    with gateway.client(gateway.key(AGENCY), language) as client:
        event = cloud_event(feedback(1))
        del event["data"]["subject"]
        told = post(client, event).json()
    assert word in told["title"]
    assert told["rule"] == "schema.field-missing"
    assert told["errors"][0]["pointer"] == "#/data/subject"
    assert told["errors"][0]["example"]


def test_the_description_is_served_without_anything_from_elsewhere(gateway: GatewayProcess) -> None:
    with gateway.client() as client:
        for path in ("/docs?lang=vi", "/docs?lang=zh", "/docs/rules"):
            page = client.get(path)
            assert page.status_code == 200
            assert not re.search(r"(?:src|href)=\"(?:https?:)?//", page.text)
            assert "<script" not in page.text
            assert "default-src 'none'" in page.headers["content-security-policy"]
        assert client.get("/docs/style.css").headers["content-type"].startswith("text/css")
        assert client.get("/openapi.json").json()["paths"].keys() == {
            "/v1/events",
            "/v1/verdicts",
            "/v1/verdicts/stream",
        }
        assert (client.get("/nothing").status_code, client.get("/v1/events").status_code) == (404, 405)
        assert client.get("/nothing").json()["rule"] == "gateway.no-such-address"


def test_the_gateway_counts_what_it_does_and_writes_no_content_or_key_into_its_log(gateway: GatewayProcess) -> None:
    key = gateway.key(AGENCY, "counted")
    with gateway.client(key) as client:
        secret = "Nguyễn Văn Bí Mật"
        post(client, cloud_event(feedback(1, secret), f"/{AGENCY}/counted"))
        post(client, cloud_event(feedback(2, "\x07" + secret), f"/{AGENCY}/counted"))
        assert client.get("/metrics").status_code == 404, "whoever may publish may not read the figures"
    (served,) = gateway.said("metrics.served")
    text = httpx2.get(f"http://127.0.0.1:{served['port']}/metrics").text
    assert 'portalbus_gateway_requests_total{route="/v1/events",status="202"}' in text
    assert f'portalbus_gateway_events_accepted_total{{agency="{AGENCY}"}}' in text
    assert f'portalbus_gateway_events_refused_total{{agency="{AGENCY}",rule="text.control-character"}} ' in text
    log = gateway.log.read_text()
    assert secret not in log
    assert key.split("_", 2)[2] not in log


def test_a_source_that_is_not_used_says_good_bye_and_comes_back_with_the_next_event(
    endpoints: Endpoints, gateway: GatewayProcess, tmp_path: Path
) -> None:
    other = GatewayProcess(endpoints, tmp_path, "--idle-s", "0.1", "--canary-s", "0").start()
    try:
        with other.client(other.key(AGENCY, "idle")) as client:
            assert taken(post(client, cloud_event(feedback(1), f"/{AGENCY}/idle")))["sequence"] == 1
            deadline = time.monotonic() + 20
            while not other.said("gateway.source-closed"):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert taken(post(client, cloud_event(feedback(2), f"/{AGENCY}/idle")))["sequence"] == 2
        assert len(other.said("gateway.source-opened")) == 2
        second = GatewayProcess(endpoints, tmp_path)
        with pytest.raises(AssertionError, match="another gateway uses"):
            second.start()
    finally:
        assert other.stop() == 0
