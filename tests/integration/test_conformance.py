"""The conformance kit on real portals: good ones win their certificate, a naive one fails what it does wrong."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest

from bus_events import SCHEMA_IDS, envelope, receipt, value_of
from portalbus.connectors.conformance import kit
from portalbus.connectors.conformance.driven_portal import DrivenPortal, DriverFailed
from portalbus.connectors.conformance.examination import Examination, Outcome, examine
from portalbus.connectors.conformance.http_line import HttpLine
from portalbus.connectors.conformance.kafka_door import KafkaDoor
from portalbus.connectors.conformance.scenario import Disturb, scenarios
from portalbus.infra.cli import main
from portalbus.producers import Portal
from portalbus.producers.testing import a_directive
from portalbus.schemas.models import Event

EXAMPLES = Path(kit.__file__).parent / "examples"
NAIVE = Path(__file__).parents[1] / "support" / "naive_portal.py"
PACE = 0.3
PATIENCE = 25.0
SHORT_PATIENCE = 2.5
"""For a portal that loses things: the kit waits so long for each of them."""

NAIVE_FAILS = {
    "same-change-twice": {"twice"},
    "lost-answer": {"twice"},
    "busy-bus": {"lost"},
    "bad-gateway": {"lost"},
    "asked-for-patience": {"lost"},
    "order-behind-a-failure": {"overtaken"},
    "killed-before-sending": {"lost"},
    "killed-after-sending": {"twice"},
    "every-kind-of-text": {"changed"},
    "text-too-large": {"not-refused"},
    "for-another-agency": {"not-refused"},
    "wrong-clock": {"not-refused"},
    "names-with-marks": {"changed", "not-refused"},
    "empty-and-missing": {"not-refused"},
    "revision-and-withdrawal": {"not-refused"},
    "refusal-without-reason": {"not-refused"},
    "wrong-among-right": {"not-refused"},
}
"""It makes a new id for each attempt, takes any answer for a yes, keeps nothing on disk, and escapes markup."""


def examined(command: str, port: int, patience: float) -> Examination:
    target = f"http://127.0.0.1:{port}/"
    with kit.portal_run(target, command.format(port=port), "gateway", "H26", patience) as run:
        run.pace = PACE
        return examine(run, scenarios())


def sdk_examined() -> Examination:
    with kit.sdk_run("H26", PATIENCE) as run:
        run.pace = PACE
        return examine(run, scenarios())


@pytest.fixture(scope="module")
def examinations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Examination]]]:
    """All at once: most of an examination is waiting."""
    folder = tmp_path_factory.mktemp("portals")
    python = f"{sys.executable} {EXAMPLES / 'driver.py'} {{port}} {folder / 'state.sqlite'}"
    php = f"env STATE={folder / 'php'} php -S 127.0.0.1:{{port}} {EXAMPLES / 'driver.php'}"
    ports = [kit.free_port() for _ in range(3)]
    with ThreadPoolExecutor(4) as threads:
        yield {
            "sdk": threads.submit(sdk_examined),
            "python": threads.submit(examined, python, ports[0], PATIENCE),
            **({"php": threads.submit(examined, php, ports[1], PATIENCE)} if shutil.which("php") else {}),
            "naive": threads.submit(examined, f"{sys.executable} {NAIVE} {{port}}", ports[2], SHORT_PATIENCE),
        }


def faults_of(found: Examination) -> dict[str, set[str]]:
    return {
        result.scenario.id: {fault.kind for fault in result.faults if not fault.advice}
        for result in found.results
        if result.outcome is Outcome.FAILED
    }


def test_our_own_sdk_conforms(examinations: dict[str, Future[Examination]]) -> None:
    found = examinations["sdk"].result()
    assert faults_of(found) == {}
    assert found.conforms
    # Kafka answers with no HTTP status: these three are nothing that could happen there.
    not_shown = {result.scenario.id for result in found.results if result.outcome is Outcome.NOT_SHOWN}
    assert not_shown == {"busy-bus", "bad-gateway", "asked-for-patience"}


@pytest.mark.parametrize("example", ["python", "php"])
def test_a_small_portal_with_nothing_but_its_language_conforms(
    example: str, examinations: dict[str, Future[Examination]]
) -> None:
    if example not in examinations:
        pytest.skip("there is no PHP on this machine")
    found = examinations[example].result()
    assert faults_of(found) == {}
    assert found.counts() == {"passed": len(scenarios()), "failed": 0, "not-shown": 0}
    assert found.as_json()["conforms"] is True


def test_a_naive_portal_fails_what_it_does_wrong_and_nothing_else(
    examinations: dict[str, Future[Examination]],
) -> None:
    found = examinations["naive"].result()
    assert not found.conforms
    assert faults_of(found) == NAIVE_FAILS
    advice = {fault.kind for result in found.results for fault in result.faults if fault.advice}
    assert advice == {"decomposed"}


def test_the_line_to_kafka_loses_answers_and_cuts_connections(tmp_path: Path) -> None:
    door = KafkaDoor("H26")
    try:
        where = door.settings("H26", "www")
        with Portal("H26", bootstrap=where["bootstrap"], registry_url=where["registry"], outbox=tmp_path) as portal:
            door.disturb(Disturb(do="disturb", how="lose-answers", times=1))
            portal.publish(a_directive())
            assert portal.flush(20)
            # The broker had it before the answer was lost, and got it again: it is the mock's, and knows no better.
            assert {record.key for record in door.taken()} and len(door.taken()) == 2
            door.disturb(Disturb(do="disturb", how="outage"))
            portal.publish(a_directive())
            assert not portal.flush(0.5)
            assert len(door.taken()) == 2
            door.heal()
            assert portal.flush(20)
            assert len(door.taken()) == 3
    finally:
        door.close()


def test_garbage_on_the_lane_is_seen_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    from confluent_kafka import Producer

    monkeypatch.setenv("PORTALBUS_KAFKA_SECURITY_PROTOCOL", "SSL")  # of the real bus; this one is inside the process
    door = KafkaDoor("H26")
    try:
        producer = Producer({"bootstrap.servers": door.settings("H26", "www")["bootstrap"], "log_level": 0})
        producer.produce("lane.H26", b"{}", b"key-1")
        foreign = Event(envelope(1, "H26", 1), receipt())
        producer.produce("lane.H26", value_of(foreign, dict.fromkeys(SCHEMA_IDS, 999_999)), b"key-2")
        assert producer.flush(10) == 0
        assert sorted((record.key, record.rule) for record in door.taken()) == [
            ("key-1", "record.not-avro"),
            ("key-2", "record.schema-not-allowed"),
        ]
    finally:
        door.close()


def test_the_line_to_the_gateway_does_what_it_is_told() -> None:
    line = HttpLine(gateway_port=kit.free_port())  # nobody listens there: a proxy says 502
    try:
        assert post(line, b"{}").status == 502
        line.disturb(Disturb(do="disturb", how="answer", status=429, retry_after=1, times=1))
        busy = post(line, json.dumps({"id": "e-1", "data": "e\u0301"}).encode())
        assert (busy.status, busy.headers["Retry-After"]) == (429, "1")
        line.disturb(Disturb(do="disturb", how="outage"))
        with pytest.raises((OSError, HTTPException)):
            post(line, b'[{"id": "e-2"}, {"id": 7}, 8]')
        line.heal()
        assert post(line, b"not JSON").status == 502
        seen = [(one.status, one.event_ids, one.decomposed) for one in line.requests()]
        assert seen == [
            (502, (), False),
            (429, ("e-1",), True),
            (None, ("e-2",), False),
            (502, (), False),
        ]
    finally:
        line.close()


def post(line: HttpLine, body: bytes) -> Any:
    connection = HTTPConnection("127.0.0.1", line.port, timeout=10)
    try:
        connection.request("POST", "/v1/events", body)
        answer = connection.getresponse()
        answer.read()
        return answer
    finally:
        connection.close()


def test_a_driver_that_is_none_is_told_apart_from_a_portal_that_fails(capsys: pytest.CaptureFixture[str]) -> None:
    port = kit.free_port()
    target = f"http://127.0.0.1:{port}/"
    assert main(["conformance", "--target", target]) == 3
    assert "the step `connect` failed" in capsys.readouterr().err
    assert main(["conformance", "--target", target, "--start", f"{sys.executable} -c 1/0"]) == 3
    assert "ended with status 1: ZeroDivisionError" in capsys.readouterr().err
    assert main(["conformance", "--target", "nowhere"]) == 3
    with socket.create_server(("127.0.0.1", port)):
        assert main(["conformance", "--target", target, "--door", "window"]) == 2
    assert main(["conformance"]) == 2
    assert main(["conformance", "--sdk", "--only", "nothing"]) == 2
    assert "see `portalbus conformance --list`" in capsys.readouterr().err
    with pytest.raises(DriverFailed, match="is no address of a driver"):
        DrivenPortal("ftp://portal.example.vn/")


def test_the_command_prints_a_certificate_and_writes_it_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "certificate.json"
    asked = ["conformance", "--sdk", "--only", "wrong-clock", "--only", "busy-bus", "--report", str(report)]
    assert main([*asked, "--lang", "vi"]) == 0
    said = capsys.readouterr().out
    assert "certificate" in said and "Đồng hồ sai ba ngày" in said and "Không thử được" in said
    written = json.loads(report.read_text("utf-8"))
    assert (written["conforms"], written["counts"]) == (True, {"passed": 1, "failed": 0, "not-shown": 1})
    assert main(["conformance", "--list", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(scenarios())


def test_a_portal_that_fails_is_told_why_and_ends_with_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    port = kit.free_port()
    start = f"{sys.executable} {NAIVE} {port}"
    asked = ["conformance", "--target", f"http://127.0.0.1:{port}/", "--start", start, "--lang", "en"]
    assert main([*asked, "--only", "refusal-without-reason", "--patience", "3"]) == 1
    said = capsys.readouterr().out
    assert "does not conform" in said
    assert "Read the 4xx answer of the bus" in said
