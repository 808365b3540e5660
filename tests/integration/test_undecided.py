"""Cases that only a person may move on: listed with what the rules suggest, decided with a reason, and replayed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bus_events import Lane, progress, receipt, writers
from ledger_facts import one, rows
from memory_ledger import directory
from portalbus.infra.cli.app import run
from portalbus.producers.testing.bus import InProcessBus
from portalbus.schemas.law.competence import Competence
from portalbus.schemas.models import CaseStep
from portalbus.streams.judgement.docket import Item
from portalbus.streams.ledger.ledger import Ledger
from portalbus.streams.reading.undecided import Undecided, undecided
from portalbus.streams.rebuilding.comparing import compare
from portalbus.streams.rebuilding.fold_tables import FOLD
from portalbus.streams.rebuilding.rebuild import Rebuild
from remembered_lanes import RememberedLanes

AGENCIES = ("G22", "H26", "H29", "H12", "G06")
TODAY = date(2026, 11, 23)
WHY = "Lao động và việc làm nay thuộc Bộ Nội vụ theo Nghị quyết 176/2025/QH15."


class Town:
    """Lanes, and a ledger that takes in what is said on them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.lanes = {agency: Lane(agency) for agency in AGENCIES}
        self.ledger = Ledger(url, writers(), directory())
        self.ledger.open_lanes(AGENCIES)

    def says(self, agency: str, *payloads: Any, **envelope: Any) -> list[Item]:
        items = [self.lanes[agency].say(payload, **envelope) for payload in payloads]
        self.ledger.take_in(items)
        return items


@pytest.fixture
def town(ledger_url: str) -> Iterator[Town]:
    with psycopg.connect(ledger_url) as connection:
        names = ", ".join(f'ledger."{table.name}"' for table in FOLD)
        connection.execute(f"truncate {names}, ledger.step, ledger.case_decision restart identity")
        connection.execute("update ledger.position set next = 1")
    made = Town(ledger_url)
    yield made
    made.ledger.close()


@pytest.fixture
def look(ledger_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(ledger_url, autocommit=True) as connection:
        yield connection


def waiting(look: psycopg.Connection[Any]) -> dict[str, Undecided]:
    return {one.case.case_id: one for one in undecided(look, directory(), Competence.read(), TODAY)}


def of_a_body_that_is_no_more(look: psycopg.Connection[Any], case: str, body: str) -> None:
    """A case that lay with a body when the body ended: the directory of today would not give it to one."""
    look.execute("update ledger.case set owner = %s where case_id = %s", (body, case))


def test_every_case_that_nobody_may_move_on_is_listed_with_its_cause(town: Town, look: psycopg.Connection[Any]) -> None:
    for number, field in enumerate(("Lao động", "Báo chí", "Y tế", "Giáo dục", "Thuế"), 1):
        town.says("H26", receipt(f"H26-000{number}", number, field=field, area=None))
    of_a_body_that_is_no_more(look, "H26-0001", "G07")
    of_a_body_that_is_no_more(look, "H26-0002", "G23")
    town.says("H26", progress(CaseStep.TRANSFERRED, "H26-0003", to_agency="H29"))
    town.says("H29", progress(CaseStep.TRANSFERRED, "H26-0003", to_agency="H26"))
    town.says("H26", progress(CaseStep.TRANSFERRED, "H26-0004", to_agency="G22"))
    town.says("H26", progress(CaseStep.TRANSFERRED, "H26-0005", to_agency="G34"))
    found = waiting(look)
    assert {case: (one.cause.value, one.suggested) for case, one in found.items()} == {
        "H26-0001": ("several-successors", "G09"),
        "H26-0002": ("no-successor", "G16"),
        "H26-0003": ("transfer-refused", "G18"),
        "H26-0004": ("sent-up", "G03"),
        "H26-0005": ("transfer-refused", "G12"),
    }
    assert set(found["H26-0001"].candidates) == {"G01", "G03", "G09", "G18"}
    assert set(found["H26-0005"].candidates) == {"G12", "G19"}
    assert found["H26-0003"].case.passed == ["H26", "H29"] and found["H26-0003"].case.rule == "case.transfer-loop"
    town.says("H29", progress(CaseStep.TRANSFERRED, "H26-0003", to_agency="H12"))
    assert "H26-0003" not in waiting(look), "it went elsewhere"


def test_a_case_of_a_body_with_one_successor_waits_for_nobody(town: Town, look: psycopg.Connection[Any]) -> None:
    town.says("H26", receipt())
    of_a_body_that_is_no_more(look, "H26-0001", "G04")
    assert waiting(look) == {}


def test_a_person_decides_with_a_reason_and_a_rebuild_knows_it(
    town: Town,
    ledger_url: str,
    look: psycopg.Connection[Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    town.says("H26", receipt(field="Lao động"), progress(CaseStep.TRANSFERRED, to_agency="H29"))
    town.says("H29", progress(CaseStep.TRANSFERRED, to_agency="H26"))
    where = ["--database-url", ledger_url, "--json"]
    assert run(["cases", "undecided", *where]) == 1
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["case"]["case_id"], listed["cause"]) == ("H26-0001", "transfer-refused")
    with InProcessBus() as bus:
        bus.open_lane("G22")
        decide = ["cases", "assign", "H26-0001", "--to", "G09", "--who", "truc-ban", "--no-wait", *where]
        decide += ["--bootstrap", bus.bootstrap, "--registry-url", bus.registry_url, "--outbox", str(tmp_path)]
        assert run([*decide, "--why", "vì thế"]) == 2
        assert run(["cases", "assign", "H26-0009", *decide[3:], "--why", WHY]) == 1
        assert run(["cases", "assign", "H26-0001", "--to", "G07", *decide[5:], "--why", WHY]) == 1
        assert "several successors" in capsys.readouterr().err
        assert one(look, "select count(*) from ledger.case_decision") == 0, "what was refused is no decision"
        assert run([*decide, "--why", WHY]) == 0
        said = json.loads(capsys.readouterr().out.splitlines()[-1])
        (event,) = bus.published("G22", at_least=1)
    assert event.envelope.id == said["event_id"] and event.envelope.agency == "G22"
    town.lanes["G22"].now = datetime.now(UTC)
    town.says("G22", event.payload, id=event.envelope.id, portal="decisions")
    assert rows(look, "select owner, stage, passed from ledger.case") == [("G09", "RECEIVED", ["H26", "H29", "G09"])]
    assert waiting(look) == {}
    # Whoever reads the canonical topic knows the id of what the centre said.
    town.says("H12", progress(CaseStep.WITHDRAWN), id=event.envelope.id)
    assert run(["cases", "decisions", *where]) == 0
    (kept,) = json.loads(capsys.readouterr().out)
    assert (kept["from_agency"], kept["to_agency"], kept["decided_by"], kept["why"], kept["rule"]) == (
        *("H29", "G09", "truc-ban", WHY, "event.accepted"),
    )
    lanes = RememberedLanes([item for lane in town.lanes.values() for item in lane.items])
    with Rebuild(ledger_url, lanes, writers(), directory()) as rebuild:
        rebuild.run()
        with rebuild.one_moment() as looking:
            assert [table.table for table in compare(looking) if table.rows] == []


def test_a_case_that_waits_for_clarification_of_a_body_that_is_no_more_is_set_free_by_the_centre(
    town: Town, look: psycopg.Connection[Any]
) -> None:
    town.says("H26", receipt(), progress(CaseStep.CLARIFICATION_ASKED))
    of_a_body_that_is_no_more(look, "H26-0001", "G07")
    look.execute("update ledger.case set receiver = 'G07'")
    town.says("G22", progress(CaseStep.CLARIFICATION_GIVEN), progress(CaseStep.TRANSFERRED, to_agency="G09"))
    assert rows(look, "select owner, stage from ledger.case") == [("G09", "RECEIVED")]
