"""The demo, through the real thing: every event judged once, every field as sent, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from portalbus.infra.bus.addresses import local_addresses
from portalbus.infra.demo.articles import ARTICLES
from portalbus.infra.demo.cast import choose_cast
from portalbus.infra.demo.expectation import Expectation, expect
from portalbus.infra.demo.scenario import write_plan
from portalbus.infra.demo.store_check import check_store
from portalbus.schemas.directory import directory
from portalbus_command import Portalbus, read_json, read_until, until

DEMO = ("demo", "--any-ports", "--portals", "43", "--events", "400", "--rate", "80", "--seed", "3")


@pytest.fixture(scope="module")
def report(running_bus: Portalbus, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report of a run on the bus that is up, which it leaves up."""
    file = tmp_path_factory.mktemp("report") / "demo.json"
    done = running_bus(*DEMO, "--exit", "--report", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every record has exactly one verdict" in done.stdout
    return dict(json.loads(file.read_text(encoding="utf-8")))


def test_every_record_has_its_verdict_and_the_store_is_what_was_sent(report: dict[str, Any]) -> None:
    assert (report["ok"], report["problems"]) == (True, [])
    assert len(report["agencies"]) == 43
    parts = [report[name] for name in ("accepted", "waiting", "rejected", "duplicates", "parked")]
    assert sum(parts) == report["sent"] == 400 - sum(report["refused_by_sdk"].values())
    assert all(parts)


def test_every_kind_of_fault_took_part_and_was_named(report: dict[str, Any]) -> None:
    assert {"lane.agency-mismatch", "refusal.needs-reason-code", "directive.version-stale"} <= set(
        report["rejected_by_rule"]
    )
    assert {"record.not-avro", "record.empty", "record.too-large"} <= set(report["parked_by_rule"])
    assert report["duplicates"] == report["faults"]["duplicate"]
    assert report["waiting"] == report["faults"]["unknown case"]
    assert report["waiting_released"] > 0


def test_latency_is_measured_for_every_event_of_the_portals(report: dict[str, Any]) -> None:
    seen = report["end_to_end"]
    assert 0 < seen["p50"] <= seen["p95"] <= seen["p99"] <= seen["max"]
    assert seen["count"] == report["publish_call"]["count"] > 300


@pytest.mark.parametrize("query", ["ket noi", "kết nối", "電子ポータル"])
def test_the_articles_are_found_and_stand_there_character_for_character(
    running_bus: Portalbus, report: dict[str, Any], query: str
) -> None:
    central = running_bus.json("status")["central_url"]
    wanted = {article.directive_id: article for article in ARTICLES if _folds_into(query, article.language)}
    found = read_json(f"{central}/api/v1/directives?agency=G22&limit=100&q={quote(query)}")["items"]
    assert set(wanted) <= {item["directive_id"] for item in found}
    for directive_id, article in wanted.items():
        shown = read_json(f"{central}/api/v1/directives/G22/{directive_id}")
        assert article.text() in json.dumps(shown, ensure_ascii=False).replace("\\n", "\n").replace('\\"', '"')


def test_a_second_run_on_the_same_bus_is_right_too(
    running_bus: Portalbus, report: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "again.json"
    done = running_bus(*DEMO, "--exit", "--report", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    again = json.loads(file.read_text(encoding="utf-8"))
    assert again["tag"] != report["tag"]
    assert again["rejected_by_rule"] == report["rejected_by_rule"]


def test_the_comparison_finds_a_store_that_was_tampered_with(running_bus: Portalbus, report: dict[str, Any]) -> None:
    expected = _expectation(report)
    case_id = next(key for key, case in expected.cases.items() if case.resolved and case.resolved.answer)
    key = next(key for key, item in expected.directives.items() if report["tag"] in key)
    gone = next(name for name in expected.cases if name != case_id)
    with psycopg.connect(local_addresses(running_bus.home).database_url) as connection:
        assert [problem for problem in check_store(connection, expected, since=0) if report["tag"] in problem] == []
        connection.execute("update ledger.case set answer = answer || '.' where case_id = %s", (case_id,))
        connection.execute("delete from ledger.case where case_id = %s", (gone,))
        connection.execute(
            "update ledger.directive_version set document = jsonb_set(document, '{title}', '\"x\"') where key = %s",
            (key,),
        )
        found = [problem for problem in check_store(connection, expected, since=0) if report["tag"] in problem]
        connection.rollback()
    assert any(problem.startswith(f"case {case_id}: answer is ") for problem in found)
    assert f"case {gone}: was sent and is not in the store" in found
    assert any(f"version ('{key}', 1): title is 'x'" in problem for problem in found)


def test_the_demo_brings_everything_up_and_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    command = Portalbus(tmp_path / "alone")
    for _ in range(2):  # the second time everything is there already
        demo = command.start("demo", "--any-ports", "--portals", "10", "--events", "100", "--rate", "100")
        try:
            lines = read_until(demo, "The central portal stays up")
            central = lines[-1].split()[5]
            assert read_json(f"{central}/api/v1/directives?q=ket+noi")["items"]
            assert len(command.processes()) >= 7
            os.kill(demo.pid, signal.SIGINT)
            assert demo.wait(timeout=60) == 0
            assert until(lambda: command.processes() == [])
        finally:
            demo.kill()
            demo.communicate()


def test_killing_the_demo_leaves_nothing_either(tmp_path: Path) -> None:
    command = Portalbus(tmp_path / "killed")
    demo = command.start(*DEMO)
    try:
        read_until(demo, "the working day")
        demo.kill()
        demo.wait(timeout=30)
        assert until(lambda: command.processes() == [], 60)
    finally:
        demo.kill()
        demo.communicate()
        command("down")


def _folds_into(query: str, language: str) -> bool:
    return language == "ja" if query == "電子ポータル" else language == "vi"


def _expectation(report: dict[str, Any]) -> Expectation:
    day = date.fromisoformat(report["day"])
    cast = choose_cast(directory(), report["portals"], day)
    return expect(write_plan(report["seed"], cast, report["events"], day, report["tag"]))
