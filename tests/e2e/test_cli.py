"""The command line on a running bus: publish, trace, tail, schemas, doctor, outbox, status."""

from __future__ import annotations

import json
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

from portalbus.schemas.identifiers import new_event_id, new_public_code
from portalbus_command import Portalbus, read_until, until


def received(case_id: str, public_code: str, **changes: Any) -> dict[str, Any]:
    data = {
        "case_id": case_id,
        "public_code": public_code,
        "regime": "R6",
        "category": 1,
        "channel": "WEB",
        "received_at": "2026-11-20T08:55:00+07:00",
        "addressed_to": "H26",
        "subject": "Đèn đường hỏng",
        "content": "Đèn đường trên phố hỏng đã ba tuần.",
        "language": "vi",
    }
    return cloud_event("FeedbackReceived", {**data, **changes})


def cloud_event(event_type: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"specversion": "1.0", "id": new_event_id(), "source": "/H26/www", "type": event_type, "data": data}


def answer(case_id: str, **changes: Any) -> dict[str, Any]:
    data = {"case_id": case_id, "outcome": "ANSWERED", "answer": "Đã sửa xong.", "language": "vi"}
    return cloud_event("FeedbackResolved", {**data, "answered_at": "2026-11-20T10:00:00+07:00", **changes})


def ndjson(*events: dict[str, Any]) -> str:
    return "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events)


def test_status_tells_every_part_and_less_than_the_memory_that_was_promised(running_bus: Portalbus) -> None:
    status = running_bus.json("status")
    assert status["running"] is True
    names = {process["name"] for process in status["processes"] if process["pid"]}
    services = {"kafka", "registry", "postgres"}
    assert services | {"worker-1", "relay", "central", "webhooks", "gateway", "supervisor"} <= names
    assert status["proportional_bytes"] < 1_500_000_000  # of each process, shared pages by their share
    assert "portalbus:" not in json.dumps(status)  # no password


def test_doctor_finds_nothing_wrong_with_a_running_bus(running_bus: Portalbus) -> None:
    done = running_bus("doctor", "--json")
    assert done.returncode == 0, done.stdout
    looked_at = {finding["what"] for finding in json.loads(done.stdout)}
    assert {
        "Python",
        "disk space",
        "Java",
        "jars",
        "Kafka",
        "schema registry",
        "ledger",
        "worker",
        "central portal",
        "gateway",
    } <= looked_at


def test_publish_answers_each_line_and_the_right_ones_are_accepted(running_bus: Portalbus, tmp_path: Path) -> None:
    case_id, code = "H26-2026-cli-0001", new_public_code()
    good, bad = received(case_id, code), answer(case_id, outcome="REJECTED", answer=None)
    file = tmp_path / "events.ndjson"
    file.write_text(ndjson(good, bad) + "no json\n" + ndjson(answer(case_id)), encoding="utf-8")
    done = running_bus("publish", str(file), "--agency", "H26", "--wait", "--json")
    assert done.returncode == 1
    said = [json.loads(line) for line in done.stdout.splitlines()]
    lines = {row["line"]: row for row in said if "line" in row}
    assert [lines[number]["published"] for number in (1, 2, 3, 4)] == [True, False, False, True]
    assert lines[2]["findings"][0]["rule"] == "refusal.needs-reason-code"
    assert lines[2]["findings"][0]["mend"]
    verdicts = [row["verdict"] for row in said if "verdict" in row]
    assert [verdict["status"] for verdict in verdicts] == ["ACCEPTED", "ACCEPTED"]
    assert said[-1]["summary"] == {"published": 2, "refused": 2, "undelivered": 0, "verdicts": {"ACCEPTED": 2}}


def test_publish_reads_standard_input_and_refuses_another_agency(running_bus: Portalbus) -> None:
    stranger = {**received("H26-2026-cli-0002", new_public_code()), "source": "/H29/www"}
    done = running_bus("publish", "-", "--agency", "H26", stdin=ndjson(stranger))
    assert done.returncode == 1
    assert "standard input:1" in done.stdout
    assert "lane.agency-mismatch" in done.stdout


def test_a_rejection_of_the_centre_is_told_too(running_bus: Portalbus) -> None:
    case_id = "H26-2026-cli-0003"
    events = ndjson(received(case_id, new_public_code()), received(case_id, new_public_code()))
    done = running_bus("publish", "-", "--agency", "H26", "--wait", "--lang", "vi", stdin=events)
    assert done.returncode == 1
    assert "[case.already-received] Hồ sơ này đã được tiếp nhận." in done.stdout


def test_trace_follows_a_case_by_each_of_its_names(running_bus: Portalbus) -> None:
    case_id, code = "H26-2026-cli-0004", new_public_code()
    early, late = answer(case_id), received(case_id, code)
    assert running_bus("publish", "-", "--agency", "H26", "--wait", stdin=ndjson(early, late)).returncode == 0
    assert until(lambda: bool(running_bus.json("trace", code)["events"][-1]["judgements"][-1]["sent_on"]))
    for name in (code, case_id):
        traced = running_bus.json("trace", name)
        first, second = traced["events"]
        assert [judgement["status"] for judgement in first["judgements"]] == ["WAITING", "ACCEPTED"]
        assert [judgement["status"] for judgement in second["judgements"]] == ["ACCEPTED"]
        assert {place["topic"] for place in first["judgements"][1]["sent_on"]} == {
            "central.feedback-resolved",
            "verdict.H26",
        }
        assert traced["rows"]["case"]["state"] == "RESOLVED"
        assert traced["page"].endswith(f"/en/feedback/{code}")
    by_event = running_bus.json("trace", late["id"])
    assert (by_event["kind"], len(by_event["events"])) == ("event", 1)
    shown = running_bus("trace", case_id).stdout
    assert "in the lane" in shown
    assert "[case.waits-for-receipt]" in shown
    assert "Đèn đường" not in shown  # a citizen's words are no business of a trace


def test_trace_of_something_unknown_is_status_1(running_bus: Portalbus) -> None:
    done = running_bus("trace", "H26-2026-nothing")
    assert done.returncode == 1
    assert "knows nothing of H26-2026-nothing" in done.stderr


def test_tail_shows_events_and_verdicts_decoded(running_bus: Portalbus) -> None:
    code = new_public_code()
    published = ndjson(received("H26-2026-cli-0005", code))
    assert running_bus("publish", "-", "--agency", "H26", "--wait", stdin=published).returncode == 0
    lane = running_bus("tail", "lane.H26", "--from-beginning", "--until-end", "--json")
    records = [json.loads(line) for line in lane.stdout.splitlines()]
    assert code in {row["record"].get("public_code") for row in records}
    assert "SourceManifest" in {row["type"] for row in records}
    verdicts = running_bus("tail", "verdict.H26", "--from-beginning", "--until-end").stdout
    assert "H26-2026-cli-0005 [event.accepted] The event was accepted." in verdicts


def test_tail_follows_a_topic_until_ctrl_c_and_ends_well(running_bus: Portalbus) -> None:
    following = running_bus.start("tail", "lane.H26", "--from-beginning")
    try:
        read_until(following, "FeedbackReceived")
        os.kill(following.pid, signal.SIGINT)
        assert following.wait(timeout=30) == 0
    finally:
        following.kill()
        following.communicate()


def test_a_topic_that_is_not_there_is_wrong_usage(running_bus: Portalbus) -> None:
    done = running_bus("tail", "lane.Z99")
    assert done.returncode == 2
    assert "there is no topic lane.Z99" in done.stderr


def test_schemas_are_registered_and_the_registry_agrees(running_bus: Portalbus) -> None:
    assert all(row["id"] for row in running_bus.json("schemas", "list"))
    assert running_bus.json("schemas", "check") == {"ok": True, "problems": []}
    ids = running_bus.json("schemas", "register")
    assert ids == {row["name"]: row["id"] for row in running_bus.json("schemas", "list")}


def test_a_killed_worker_and_a_killed_relay_are_started_again(running_bus: Portalbus) -> None:
    def part(name: str) -> dict[str, Any]:
        return next(process for process in running_bus.json_status()["processes"] if process["name"] == name)

    def came_back(name: str, restarts: int) -> bool:
        return part(name)["restarts"] > restarts and part(name)["pid"] is not None

    before = {name: part(name) for name in ("worker-1", "relay")}
    for found in before.values():
        os.kill(found["pid"], signal.SIGKILL)
    for name, found in before.items():
        assert until(partial(came_back, name, found["restarts"]))
    published = ndjson(received("H26-2026-cli-0006", new_public_code()))
    done = running_bus("publish", "-", "--agency", "H26", "--wait", "--timeout", "60", stdin=published)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_second_bus_in_the_same_folder_is_refused(running_bus: Portalbus) -> None:
    done = running_bus("up")
    assert done.returncode == 3
    assert "already running" in done.stderr
