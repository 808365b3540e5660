"""Accountability figures as commands, page, JSON and CSV over a real ledger: the same numbers everywhere."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bus_events import answer, receipt
from casework_bench import CaseworkBench, casework_bench
from central_process import CentralProcess
from measuring_names import NAMES
from portalbus.infra.cli import main
from portalbus.producers.testing import a_step
from portalbus.schemas.models import CaseStep, CaseUrgency
from portalbus.schemas.zone import ZONE
from portalbus.streams.ledger.alerts import Concern, raise_alert
from portalbus.streams.reading.synthesis import Level, read_synthesis

NOW = datetime.now(UTC)
FIRST = NOW - timedelta(days=40)
COPIED = {"series": "–", "observed": "5", "examples": "H56-0001"}
PERIOD = {"from": str((NOW - timedelta(days=60)).date()), "to": str((NOW + timedelta(days=2)).date())}


@pytest.fixture
def bench(ledger_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CaseworkBench]:
    """Three cases: one answered, one overdue, one urgent that nobody acknowledges."""
    monkeypatch.setenv("PORTALBUS_DATABASE", ledger_url)
    monkeypatch.setenv("PORTALBUS_HOME", str(tmp_path))
    with casework_bench(ledger_url) as found:
        found.now = FIRST
        found.say("H56", receipt("H56-0001", 1, regime="R5", received_at=FIRST, field="giao-thong"))
        found.say("H56", receipt("H56-0002", 2, regime="R5", received_at=FIRST))
        urgent = receipt("G11-0001", 3, regime="R1", received_at=FIRST, urgency=CaseUrgency.URGENT)
        found.say("G11", urgent)
        found.now += timedelta(days=1)
        found.say("H56", answer("H56-0001", answered_at=found.now))
        found.work(NOW)
        yield found


def test_the_command_counts_and_adds_up(bench: CaseworkBench, capsys: pytest.CaptureFixture[str]) -> None:
    period = ["--from", PERIOD["from"], "--to", PERIOD["to"]]
    assert main(["figures", *period, "--json"]) == 0
    units = {row["agency"]: row for row in json.loads(capsys.readouterr().out)}
    assert (units["H56"]["received"], units["H56"]["on_time"], units["H56"]["overdue"]) == (2, 1, 1)
    assert (units["G11"]["open"], units["G11"]["climbs"], units["G11"]["without_term"]) == (1, 2, 1)
    assert main(["figures", *period, "--by", "level,field", "--csv", "--agency", "H56"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["level"], row["field"], row["received"]) for row in rows] == [
        ("L1", "", "1"),
        ("L1", "giao-thong", "1"),
    ]
    assert main(["figures", *period]) == 0
    assert "all" in capsys.readouterr().out
    assert main(["figures", "export", *period]) == 0
    exported = json.loads(capsys.readouterr().out)
    assert {row["giaTri"] for row in exported if row["maChiTieu"] == "PAKN-03" and row["maDonVi"] == "H56"} == {1}
    assert main(["figures", "recount"]) == 0
    bench.work()
    capsys.readouterr()
    assert main(["figures", "export", *period]) == 0
    again = json.loads(capsys.readouterr().out)
    assert [{**row, "thoiDiem": ""} for row in again] == [{**row, "thoiDiem": ""} for row in exported]


def test_the_synthesis_of_a_day_says_what_came_how_fast_it_was_answered_and_what_is_overdue(
    bench: CaseworkBench, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(day: datetime, *options: str) -> Any:
        assert main(["synthesis", "--on", str(day.astimezone(ZONE).date()), "--json", *options]) == 0
        return json.loads(capsys.readouterr().out)

    first, second, today = read(FIRST), read(FIRST + timedelta(days=1)), read(NOW)
    assert (first["received"], first["by_field"], first["by_agency"]) == (
        3,
        {"": 2, "giao-thong": 1},
        {"H56": 2, "G11": 1},
    )
    assert (first["answered"], first["overdue"]) == (0, [])
    assert (second["received"], second["answered"], second["median_hours"]) == (0, 1, 24.0)
    assert [(one["agency"], one["count"]) for one in today["overdue"]] == [("H56", 1)]
    assert read(FIRST, "--agency", "G11")["received"] == 1
    assert main(["synthesis", "--on", str(NOW.astimezone(ZONE).date())]) == 0
    assert "H56: 1, the oldest since" in capsys.readouterr().out


def test_a_case_that_was_passed_on_too_late_is_overdue_until_then_and_no_longer(bench: CaseworkBench) -> None:
    bench.now = NOW - timedelta(days=2)
    bench.say("H56", a_step("H56-0002", CaseStep.TRANSFERRED, at=bench.now, to_agency="H26"))
    bench.work(NOW)

    def overdue(day: datetime) -> list[tuple[str, int]]:
        found = read_synthesis(bench.look, day.astimezone(ZONE).date())
        return [(one.agency, one.count) for one in found.overdue]

    assert overdue(NOW - timedelta(days=3)) == [("H56", 1)]
    assert overdue(NOW) == [], "it missed its term, and owes nothing any more"


def test_the_synthesis_tells_the_levels_apart(bench: CaseworkBench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.now = NOW
    bench.say("H56", receipt("H56-0009", 9, regime="R5", received_at=NOW, addressed_to="H56.12"))
    bench.say("G22", receipt("G22-0001", 10, regime="R2", received_at=NOW))
    bench.work()
    today = read_synthesis(bench.look, NOW.astimezone(ZONE).date())
    assert {level: one.received for level, one in today.by_level.items()} == {"central": 1, "province": 0, "unit": 1}
    assert (today.by_level[Level.PROVINCE].overdue, today.received) == (1, 2)
    unit = read_synthesis(bench.look, today.day, level=Level.UNIT)
    assert (unit.received, unit.by_agency, unit.overdue) == (1, {"H56.12": 1}, ())
    first = read_synthesis(bench.look, FIRST.astimezone(ZONE).date())
    assert {level: one.received for level, one in first.by_level.items()} == {"ministry": 1, "province": 2}
    assert main(["synthesis", "--level", "unit", "--on", str(today.day), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["received"] == 1
    assert main(["synthesis", "--level", "district"]) == 2


def test_a_provinces_synthesis_has_the_incidents_of_its_units(bench: CaseworkBench) -> None:
    with bench.look.transaction():
        raise_alert(bench.look, Concern("refusal.copied", "H56.12", topic="H56-0001"), NOW, params=COPIED)
    found = read_synthesis(bench.look, NOW.astimezone(ZONE).date(), "H56")
    assert [(one.agency, one.kind) for one in found.incidents] == [("H56.12", "refusal.copied")]
    assert not read_synthesis(bench.look, NOW.astimezone(ZONE).date(), "H5").incidents


OWN = f"""{NAMES}[[indicator]]
code = "TH-7"
label = "Đúng hạn"
count = ["on_time"]
unit = "vụ"
"""


def test_an_installation_puts_its_own_mapping_in_the_place_of_ours(
    bench: CaseworkBench, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    own, out = tmp_path / "own.toml", tmp_path / "report.csv"
    own.write_text(OWN, encoding="utf-8")
    period = ["--from", PERIOD["from"], "--to", PERIOD["to"]]
    assert main(["figures", "export", *period, "--mapping", str(own), "--out", str(out)]) == 0
    rows = list(csv.DictReader(io.StringIO(out.read_text(encoding="utf-8"))))
    assert [(row["unit_code"], row["code"], row["value"]) for row in rows] == [
        ("G11", "TH-7", "0"),
        ("H56", "TH-7", "1"),
    ]
    own.write_text(OWN.replace("on_time", "speed"), encoding="utf-8")
    capsys.readouterr()
    assert main(["figures", "export", *period, "--mapping", str(own)]) == 2
    assert "own.toml" in (told := capsys.readouterr().err) and "speed" in told
    own.write_text("by = [", encoding="utf-8")
    assert main(["figures", "export", *period, "--mapping", str(own)]) == 2


@pytest.mark.parametrize(
    "wrong",
    [["--by", "planet"], ["--from", "yesterday"], ["--from", "2026-02-01", "--to", "2026-01-01"], ["--agency", "h"]],
)
def test_a_wrong_question_is_answered_with_how_to_ask(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["figures", *wrong]) == 2
    assert "portalbus: " in capsys.readouterr().err


def test_what_is_owed_and_what_is_urgent_is_listed(bench: CaseworkBench, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cases", "--overdue", "--json"]) == 1
    owed = json.loads(capsys.readouterr().out)
    assert [(one["case_id"], one["duty"], one["rule"]) for one in owed] == [
        ("G11-0001", "PASS_ON", "r1.pass-on.2008"),
        ("H56-0002", "ANSWER", "r5.answer.2014"),
    ]
    assert main(["cases", "--agency", "H26"]) == 0
    assert main(["urgent", "--json"]) == 1
    (urgent,) = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert (urgent["case_id"], urgent["authority"], urgent["climbed"]) == ("G11-0001", "PM", 2)
    assert main(["urgent", "--digest"]) == 1
    assert main(["urgent", "--authority", "G22"]) == 0


def test_page_json_and_csv_show_the_same(bench: CaseworkBench, central: CentralProcess) -> None:
    api = httpx2.Client(base_url=central.address, timeout=10)
    found = api.get("/api/v1/figures", params={**PERIOD, "by": ["agency", "regime"]}).json()
    assert [(one["agency"], one["regime"], one["received"]) for one in found["items"]] == [
        ("G11", "R1", 1),
        ("H56", "R5", 2),
    ]
    rows = list(csv.DictReader(io.StringIO(api.get("/api/v1/figures.csv", params=PERIOD).text)))
    assert {row["agency"]: row["overdue"] for row in rows} == {"G11": "0", "H56": "1"}
    for language in ("vi", "en", "zh"):
        page = api.get(f"/{language}/figures", params=PERIOD)
        assert page.status_code == 200
        assert "H56" in page.text and "G11" in page.text
    assert api.get("/api/v1/figures", params={"from": "2026-02-01", "to": "2026-01-01"}).status_code == 422
    assert api.get("/vi/figures", params={"from": "x"}).status_code == 422
    assert api.get("/vi/figures", params={"from": "2001-01-01", "to": "2001-12-31"}).status_code == 200
