"""The console's list of undecided cases, the form by which a person decides, and sources blocked by a button."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bus_events import Lane, progress, receipt, writers
from central_process import CentralProcess
from ledger_facts import one, rows
from memory_ledger import directory
from office_accounts import make_account
from office_ledger import misroute
from office_visitor import CSRF, Visitor
from portalbus.producers import Portal
from portalbus.producers.testing.bus import InProcessBus
from portalbus.schemas.models import CaseStep, FeedbackProgressed, VerdictStatus
from portalbus.streams.casework.assigning import assigning_step
from portalbus.streams.ledger.ledger import Ledger
from portalbus.streams.rebuilding.fold_tables import FOLD

AGENCIES = ("G22", "H26", "H29")
WHY = "Lao động và việc làm nay thuộc Bộ Nội vụ theo Nghị quyết 176/2025/QH15."


@pytest.fixture(scope="module")
def bus() -> Iterator[InProcessBus]:
    with InProcessBus() as bus:
        bus.open_lane("G22")
        yield bus


@pytest.fixture(scope="module")
def console(ledger_url: str, bus: InProcessBus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CentralProcess]:
    """A console that may speak for the centre."""
    folder = tmp_path_factory.mktemp("console")
    process = CentralProcess(
        ledger_url,
        folder / "central.log",
        *("--registry-url", bus.registry_url, "--bootstrap", bus.bootstrap, "--outbox", str(folder / "outbox")),
        *("--logins-per-minute", "1000"),
    )
    process.wait_until()
    make_account(ledger_url, "centre")
    make_account(ledger_url, "hanoi", "H26")
    make_account(ledger_url, "hue", "H57")
    yield process
    assert process.stop() == 0, process.log.read_text()


@pytest.fixture
def look(ledger_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(ledger_url, autocommit=True) as connection:
        names = ", ".join(f'ledger."{table.name}"' for table in FOLD)
        connection.execute(f"truncate {names}, ledger.step, ledger.case_decision, console.action restart identity")
        connection.execute("truncate ledger.source_blocking")
        connection.execute("update ledger.position set next = 1")
        yield connection


@pytest.fixture
def refused_transfer(look: psycopg.Connection[Any], ledger_url: str) -> dict[str, Lane]:
    """H26-0001 went from H26 to H29, who may not give it back."""
    lanes = {agency: Lane(agency) for agency in AGENCIES}
    ledger = Ledger(ledger_url, writers(), directory())
    ledger.open_lanes(AGENCIES)
    h26, h29 = lanes["H26"], lanes["H29"]
    ledger.take_in([h26.say(receipt(field="Lao động")), h26.say(progress(CaseStep.TRANSFERRED, to_agency="H29"))])
    ledger.take_in([h29.say(progress(CaseStep.TRANSFERRED, to_agency="H26"))])
    ledger.close()
    return lanes


def form(visitor: Visitor, **changed: Any) -> dict[str, Any]:
    """The fields of the form on the page."""
    found = CSRF.search(visitor.get("undecided").text)
    assert found
    about = {"agency": "H29", "case_id": "H26-0001", "owner": "H29", "to": "G09"}
    usual = {"csrf": found[1], "what": "assign", "why": WHY, **about}
    return usual | changed


def test_an_empty_list_says_so_in_three_languages(console: CentralProcess, look: psycopg.Connection[Any]) -> None:
    for language, said in (("en", "No case waits"), ("vi", "Không có hồ sơ nào"), ("zh", "没有案件等待决定")):
        assert said in Visitor(console.address, "centre", language=language).get("undecided").text
    assert Visitor(console.address).get("undecided").status_code == 303, "not without a login"


def test_cases_that_are_with_another_body_than_the_rules_name_are_listed_for_those_who_name_or_have_them(
    console: CentralProcess, look: psycopg.Connection[Any], ledger_url: str
) -> None:
    look.execute("truncate casework.case, casework.handling, casework.routing")
    for language, said in (("en", "Every open case is"), ("vi", "Mọi hồ sơ đang xử lý"), ("zh", "凡规则有指定的")):
        assert said in Visitor(console.address, "centre", language=language).get("undecided").text
    misroute(ledger_url, "H26-0001", "H26", "H14", "local.province.2025", area="04")
    misroute(ledger_url, "H57-0001", "H57", "G17", "ministry.construction.2025", field="Giao thông")
    look.execute("update casework.case set owner = 'H26.05' where case_id = 'H57-0001'")
    misroute(ledger_url, "H29-0001", "H29", "G17", "ministry.construction.2025")
    page = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", Visitor(console.address, "hanoi").get("undecided").text))
    for part in ("H26-0001", "H14", "local.province.2025", "04", "H57-0001", "(received for H57)", "Giao thông"):
        assert part in page, part
    assert "H29-0001" not in page
    assert "H29-0001" in Visitor(console.address, "centre").get("undecided").text
    look.execute("update casework.handling set ended_at = now()")
    assert "Every open case is" in Visitor(console.address, "centre").get("undecided").text


def test_a_case_is_listed_with_why_and_given_to_a_body_through_the_form(
    console: CentralProcess, bus: InProcessBus, refused_transfer: dict[str, Lane], look: Any
) -> None:
    centre = Visitor(console.address, "centre")
    page = centre.get("undecided").text
    bare = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))
    for said in ("A transfer of it was refused.", "case.transfer-loop", "to transfer it there again is a loop", "G18"):
        assert said in bare, said
    before = len(bus.published("G22", at_least=0))
    with ThreadPoolExecutor(1) as sending:
        answer = sending.submit(centre.post, "steps", **form(centre))
        event = bus.published("G22", at_least=before + 1)[-1]
        bus.decide(event, VerdictStatus.ACCEPTED)
        posted = answer.result()
    assert posted.status_code == 303, posted.text
    assert isinstance(event.payload, FeedbackProgressed)
    assert (event.payload.to_agency, event.payload.reason, event.envelope.portal) == ("G09", WHY, "desk")
    (kept,) = rows(
        look, "select case_id, event_id::text, from_agency, to_agency, decided_by, why from ledger.case_decision"
    )
    assert kept == ("H26-0001", event.envelope.id, "H29", "G09", "centre", WHY)
    (deed,) = rows(look, "select account, agency, what, why, outcome, figures->>'rule' from console.action")
    assert deed == ("centre", "H29", "assign", WHY, "done", "event.accepted")
    after = centre.http.get(posted.headers["location"]).text
    assert "The judge said: Accepted" in re.sub(r"\s+", " ", after)
    assert "Decided lately" in after and WHY in after


def test_what_the_judge_refuses_is_no_success_and_says_the_rule(
    console: CentralProcess, bus: InProcessBus, refused_transfer: dict[str, Lane], look: Any
) -> None:
    centre = Visitor(console.address, "centre")
    before = len(bus.published("G22", at_least=0))
    with ThreadPoolExecutor(1) as sending:
        answer = sending.submit(centre.post, "steps", **form(centre))
        bus.decide(bus.published("G22", at_least=before + 1)[-1], VerdictStatus.REJECTED, rule="case.transfer-loop")
        posted = answer.result()
    page = centre.http.get(posted.headers["location"]).text
    assert one(look, "select outcome from console.action") == "rejected"
    assert "The judge refused it" in page and "banner-done" not in page
    assert "case.transfer-loop" in page[page.index('id="done"') : page.index('class="todo"')]


def test_a_form_that_somebody_overtook_moves_nothing(
    console: CentralProcess, bus: InProcessBus, refused_transfer: dict[str, Lane], look: Any
) -> None:
    centre = Visitor(console.address, "centre")
    posted = centre.post("steps", **form(centre, owner="H26"))
    assert "Somebody decided about this case before you" in centre.http.get(posted.headers["location"]).text
    look.execute(
        "insert into ledger.case_decision (case_id, event_id, from_agency, to_agency, decided_by, why)"
        " values ('H26-0001', gen_random_uuid(), 'H29', 'G09', 'other', 'not judged yet')"
    )
    centre.post("steps", **form(centre))
    assert rows(look, "select outcome from console.action") == [("moved",), ("moved",)]
    assert one(look, "select count(*) from ledger.case_decision") == 1


def test_an_agency_reads_its_own_decisions_behind_any_number_of_others(console: CentralProcess, look: Any) -> None:
    look.execute(
        "insert into ledger.case_decision (case_id, event_id, from_agency, to_agency, decided_by, why)"
        " select 'case-' || n, gen_random_uuid(), case n when 1 then 'H26.5' else 'H29' end, 'G09', 'lan', 'why ' || n"
        " from generate_series(1, 30) n"
    )
    page = Visitor(console.address, "hanoi").get("undecided").text
    assert "case-1<" in page and "case-2<" not in page


def test_a_decision_said_before_a_restart_goes_out_after_it(
    ledger_url: str, bus: InProcessBus, refused_transfer: dict[str, Lane], tmp_path: Path
) -> None:
    outbox = tmp_path / "outbox"
    with Portal("G22", "second-desk", outbox=outbox, deliver=False) as portal:
        event_id = portal.publish(assigning_step("H26-0001", "G09", WHY)).event_id
    where = ("--registry-url", bus.registry_url, "--bootstrap", bus.bootstrap, "--outbox", str(outbox))
    process = CentralProcess(ledger_url, tmp_path / "central.log", *where, "--outbox-portal", "second-desk")
    process.wait_until()
    deadline = time.monotonic() + 20
    while event_id not in [event.envelope.id for event in bus.published("G22")] and time.monotonic() < deadline:
        time.sleep(0.2)
    assert event_id in [event.envelope.id for event in bus.published("G22")]
    assert process.stop() == 0


def test_what_the_rules_refuse_is_no_decision(
    console: CentralProcess, refused_transfer: dict[str, Lane], look: Any
) -> None:
    centre = Visitor(console.address, "centre")
    posted = centre.post("steps", **form(centre, to="G07"))
    assert "The rules refuse this" in centre.http.get(posted.headers["location"]).text
    assert one(look, "select outcome from console.action") == "refused"
    assert centre.post("steps", **form(centre, to="nobody")).status_code == 422
    assert centre.post("steps", **form(centre, csrf="0" * 64)).status_code == 403
    assert one(look, "select count(*) from ledger.case_decision") == 0


def test_a_reason_without_substance_is_asked_for_again(
    console: CentralProcess, refused_transfer: dict[str, Lane], look: Any
) -> None:
    centre = Visitor(console.address, "centre")
    asked = centre.post("steps", **form(centre, why="vì thế <b>"))
    assert asked.status_code == 422
    assert "Give the reason in words, at least 20 characters" in asked.text and 'value="vì thế &lt;b&gt;"' in asked.text
    assert 'href="/office/vi/undecided"' in asked.text, "the other languages lead to a page that can be asked for"
    fields = dict(re.findall(r'name="([a-z_]+)" value="([^"]*)"', asked.text))
    posted = centre.post("steps", **fields | {"why": WHY})
    assert posted.status_code == 303
    assert one(look, "select count(*) from ledger.case_decision") == 1


def test_an_agency_sees_its_own_cases_and_decides_nothing(
    console: CentralProcess, refused_transfer: dict[str, Lane], look: Any
) -> None:
    hanoi, hue = Visitor(console.address, "hanoi"), Visitor(console.address, "hue")
    assert "H26-0001" in hanoi.get("undecided").text and 'value="assign"' not in hanoi.get("undecided").text
    assert "H26-0001" not in hue.get("undecided").text
    deeds: list[dict[str, Any]] = [{"what": "assign"}, {"what": "block", "portal": "www"}]
    for deed in deeds:
        fields = form(hanoi, agency="H26", **deed)
        assert hanoi.post("steps", **fields).status_code == 403
    assert one(look, "select count(*) from console.action") == 0


def test_without_an_outbox_the_page_names_the_command(
    ledger_url: str, console: CentralProcess, refused_transfer: dict[str, Lane], tmp_path: Path
) -> None:
    process = CentralProcess(ledger_url, tmp_path / "central.log")
    process.wait_until()
    page = Visitor(process.address, "centre").get("undecided").text
    assert "portalbus cases assign" in page and 'value="assign"' not in page
    assert process.stop() == 0


def test_a_source_is_blocked_and_let_speak_again(
    console: CentralProcess, refused_transfer: dict[str, Lane], look: Any
) -> None:
    centre = Visitor(console.address, "centre")
    page = centre.step("block", "H26", "the server was broken into", portal="www").text
    assert "The portal is blocked." in page and "Portal www is blocked" in page and "the server was broken into" in page
    assert one(look, "select status from ledger.source where agency = 'H26'") == "blocked"
    (kept,) = rows(look, "select agency, portal, status, decided_by, why from ledger.source_blocking")
    assert kept == ("H26", "www", "blocked", "centre", "the server was broken into")
    assert "nothing left to do" in centre.step("block", "H26", portal="www").text
    assert "The portal may speak again." in centre.step("unblock", "H26", portal="www").text
    assert rows(look, "select kind, told from ledger.step where kind = 'blocking' order by id") == [
        ("blocking", ["H26", "www", "blocked"]),
        ("blocking", ["H26", "www", "active"]),
    ]
