"""The life of a case: every stage with every step, who may take it, and who has the case."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from bus_events import Lane, answer, progress, receipt
from memory_ledger import MemoryLedger, directory
from portalbus.schemas.catalogue import catalogue
from portalbus.schemas.law.limits import Limited, Limits
from portalbus.schemas.models import CaseStep, Diversion, Outcome
from portalbus.streams.judgement.bounds import Bounds
from portalbus.streams.judgement.case_state import CaseState
from portalbus.streams.judgement.case_steps import TABLE, CaseStage, Passing, allowed
from portalbus.streams.ledger.steps import read_bounds, written_bounds

# Rows are stages; a step's column tells where it leads, "." that it stays, "-" that it is not allowed.
COLUMNS = (
    *("CLASSIFIED", "ACCEPTED", "TRANSFERRED", "EXTENDED", "CLARIFICATION_ASKED", "CLARIFICATION_GIVEN"),
    *("ANSWER_RETURNED", "REOPENED", "WITHDRAWN", "SPLIT", "DIVERTED", "ACKNOWLEDGED", "PROGRESS_TOLD"),
    *("URGENCY_CHANGED", "PUBLISHED", "RATED", "answer"),
)
SHORT = {
    "rec": "RECEIVED",
    "cla": "CLASSIFIED",
    "pro": "IN_PROGRESS",
    "nee": "NEEDS_CLARIFICATION",
    "pub": "PUBLISHED",
    "wit": "WITHDRAWN",
    "spl": "SPLIT",
    "div": "DIVERTED",
}
EXPECTED = """
                    CLA ACC TRA EXT ASK GIV RET REO WIT SPL DIV ACK TOL URG PUB RAT ans
RECEIVED            cla pro .   .   nee -   -   -   wit spl div .   .   .   -   -   yes
CLASSIFIED          .   pro rec .   nee -   -   -   wit spl div .   .   .   -   -   yes
IN_PROGRESS         -   -   rec .   nee -   -   -   wit spl div .   .   .   -   -   yes
NEEDS_CLARIFICATION -   -   -   -   -   pro -   -   wit -   div .   .   .   -   -   yes
ANSWERED            -   -   -   -   -   -   pro rec -   -   -   -   -   -   pub .   no
REJECTED            -   -   -   -   -   -   pro rec -   -   -   -   -   -   pub .   no
PUBLISHED           -   -   -   -   -   -   pro rec -   -   -   -   -   -   .   .   no
TRANSFERRED_OUT     -   -   -   -   -   -   pro rec -   -   -   -   -   -   -   -   no
WITHDRAWN           -   -   -   -   -   -   -   rec -   -   -   -   -   -   -   -   no
SPLIT               -   -   -   -   -   -   -   -   -   -   -   -   -   -   -   -   no
DIVERTED            -   -   -   -   -   -   -   -   -   -   -   -   -   -   -   -   no
"""
CELLS = [
    (row.split()[0], column, cell)
    for row in EXPECTED.strip().splitlines()[1:]
    for column, cell in zip(COLUMNS, row.split()[1:], strict=True)
]


class Town:
    """A ledger with lanes that say things about one case of H26."""

    def __init__(self, bounds: Bounds | None = None) -> None:
        self.ledger = MemoryLedger(bounds or Bounds())
        self.lanes = {agency: Lane(agency) for agency in ("G22", "H26", "H29", "H31", "H32", "H37", "H38")}
        self.ledger.take(self.lanes["H26"].say(receipt()))

    def says(self, agency: str, step: CaseStep | None, **values: Any) -> str:
        """The rule that decides on a step (an answer, for None) that this agency tells."""
        payload = answer(**values) if step is None else progress(step, **values)
        return self.ledger.take(self.lanes[agency].say(payload))[0].decision.rule

    @property
    def case(self) -> CaseState:
        return self.ledger.history.cases["H26-0001"]

    def mend(self) -> str:
        """How the last refusal says it can be mended."""
        decision = self.ledger.entries[-1].decision
        mend = catalogue()[decision.rule].mend(decision.params)
        assert mend is not None
        return mend.en


@pytest.fixture
def town() -> Town:
    return Town()


def children(agency: str) -> tuple[str, ...]:
    """Cases that an agency receives itself."""
    return (f"{agency}-0101", f"{agency}-0102")


def test_the_table_knows_every_stage_and_every_step() -> None:
    assert {stage for stage, _, _ in CELLS} == {stage.value for stage in CaseStage} == {stage.value for stage in TABLE}
    assert {column for _, column, _ in CELLS} == {*(step.value for step in CaseStep), "answer"}


@pytest.mark.parametrize(("stage", "step", "cell"), CELLS)
def test_every_step_at_every_stage(stage: str, step: str, cell: str, town: Town) -> None:
    town.case.stage = CaseStage(stage)
    speaker = "G22" if step == "ANSWER_RETURNED" else "H26"
    rule = town.says(speaker, None if step == "answer" else CaseStep(step))
    if cell in ("-", "no"):
        assert rule == "case.step-not-allowed"
        assert town.case.stage.value == stage
        assert town.ledger.entries[-1].decision.params["allowed"] == (", ".join(allowed(CaseStage(stage))) or "–")
        return
    assert rule == "event.accepted"
    if cell != "yes":
        assert town.case.stage.value == (stage if cell == "." else SHORT[cell])


@pytest.mark.parametrize(
    ("outcome", "stage"),
    [
        ("ANSWERED", "ANSWERED"),
        ("ACCEPTED_AMEND", "ANSWERED"),
        ("RECOMMENDED_TO_COMPETENT", "ANSWERED"),
        ("INSUFFICIENT_BASIS", "ANSWERED"),
        ("REJECTED", "REJECTED"),
        ("TRANSFERRED_OUT", "TRANSFERRED_OUT"),
        ("DIVERTED", "DIVERTED"),
        ("WITHDRAWN", "WITHDRAWN"),
    ],
)
def test_where_an_answer_leads(outcome: str, stage: str, town: Town) -> None:
    values: dict[str, Any] = {
        "outcome": Outcome(outcome),
        "reason_code": "UNCLEAR_CONTENT",
        "reason_text": "Nội dung chưa nêu rõ địa điểm và thời gian.",
        "legal_basis": "Nghị định 20/2008/NĐ-CP",
        "competent_agency": "H29",
    }
    if outcome == "DIVERTED":
        values = {"outcome": Outcome.DIVERTED, "reason_code": "OUT_OF_SCOPE_COMPLAINT", "answer": None}
    assert town.says("H26", None, **values) == "event.accepted"
    assert town.case.stage.value == stage
    assert town.case.is_resolved
    assert town.says("H26", None) == "case.already-resolved"


@pytest.mark.parametrize(
    ("step", "may"),
    [
        (CaseStep.ACCEPTED, "H29"),
        (CaseStep.CLASSIFIED, "H29 H26 G22"),
        (CaseStep.TRANSFERRED, "H29 G22"),
        (CaseStep.EXTENDED, "H29"),
        (CaseStep.CLARIFICATION_ASKED, "H29"),
        (CaseStep.WITHDRAWN, "H29 H26"),
        (CaseStep.SPLIT, "H29 H26 G22"),
        (CaseStep.DIVERTED, "H29 H26 G22"),
        (CaseStep.ACKNOWLEDGED, "H29 G22"),
        (CaseStep.PROGRESS_TOLD, "H29 H26"),
        (CaseStep.URGENCY_CHANGED, "H29 H26 G22"),
        (None, "H29 H26"),
    ],
)
def test_who_may_take_a_step_of_an_open_case(step: CaseStep | None, may: str) -> None:
    found = set()
    for agency in ("H26", "H29", "G22", "H31"):
        town = Town()
        town.says("H26", CaseStep.TRANSFERRED)
        needed: dict[CaseStep, dict[str, Any]] = {
            CaseStep.TRANSFERRED: {"to_agency": "H32"},
            CaseStep.SPLIT: {"children": children(agency)},
        }
        rule = town.says(agency, step, **(needed.get(step, {}) if step else {}))
        assert rule in ("event.accepted", "case.not-owner", "case.not-yours")
        if rule == "event.accepted":
            found.add(agency)
    assert found == set(may.split())


@pytest.mark.parametrize(
    ("step", "may"),
    [
        (CaseStep.ANSWER_RETURNED, "G22"),
        (CaseStep.REOPENED, "H29 H26 G22"),
        (CaseStep.PUBLISHED, "H29 H26 G22"),
        (CaseStep.RATED, "H29 H26"),
    ],
)
def test_who_may_take_a_step_of_an_answered_case(step: CaseStep, may: str) -> None:
    found = set()
    for agency in ("H26", "H29", "G22", "H31"):
        town = Town()
        town.says("H26", CaseStep.TRANSFERRED)
        town.says("H29", None)
        if town.says(agency, step) == "event.accepted":
            found.add(agency)
    assert found == set(may.split())


def test_a_sub_unit_has_its_case_through_its_first_level_too(town: Town) -> None:
    town.says("H26", CaseStep.TRANSFERRED, to_agency="H29.01")
    assert town.case.owner == "H29.01"
    assert town.says("H29", CaseStep.ACCEPTED) == "event.accepted"


def test_a_transfer_moves_the_owner_and_nobody_else_may_go_on(town: Town) -> None:
    assert town.says("H26", CaseStep.TRANSFERRED) == "event.accepted"
    assert (town.case.owner, town.case.owners) == ("H29", ("H26", "H29"))
    assert town.says("H26", CaseStep.TRANSFERRED, to_agency="H31") == "case.not-owner"
    assert town.ledger.entries[-1].decision.params["owner"] == "H29"


def test_a_case_that_is_passed_back_goes_up_and_the_centre_decides(town: Town) -> None:
    town.says("H26", CaseStep.TRANSFERRED, to_agency="H29")
    assert town.says("H29", CaseStep.TRANSFERRED, to_agency="H26") == "case.transfer-loop"
    assert town.mend() == "Transfer it up a level: G22 decides."
    assert town.says("H29", CaseStep.TRANSFERRED, to_agency="G22") == "event.accepted"
    assert town.says("G22", CaseStep.TRANSFERRED, to_agency="H26") == "event.accepted"
    assert town.case.owner == "H26"


@pytest.mark.parametrize(
    ("way", "rule"),
    [
        (("H26", "H26.01", "H29", "H26"), "case.transfer-loop"),
        (("H26", "H26.01", "H29", "H26.02"), "case.transfer-loop"),
        (("H26", "H29.01", "H31", "H29"), "case.transfer-loop"),
        (("H26", "H29", "H29.01", "H29"), "case.transfer-loop"),
        (("H26", "H29", "H29.01", "H29.02"), "event.accepted"),  # its own body decides how it gets there
        (("H26", "H29", "G22", "H26"), "event.accepted"),  # the centre decides
    ],
)
def test_a_case_does_not_come_back_to_a_first_level_body_or_its_heir(way: tuple[str, ...], rule: str) -> None:
    town = Town()
    found = [town.says(one.partition(".")[0], CaseStep.TRANSFERRED, to_agency=to) for one, to in pairwise(way)]
    assert found == ["event.accepted"] * (len(way) - 2) + [rule]


def test_a_body_that_was_taken_over_is_its_heir_in_the_way_of_a_case() -> None:
    today = Town().lanes["H26"].now.date()
    passing = Passing(("H26", "H02", "H29"), directory(), today)
    assert passing.acting("H02") == "H05"
    assert passing.forbids("H29", "H05", 4) == "case.transfer-loop"
    assert passing.forbids("H29", "H05.01", 4) == "case.transfer-loop"
    assert passing.forbids("H29", "H31", 4) is None
    assert Passing(("H26", "H02"), directory(), today).forbids("H05", "H05", 4) == "case.transfer-loop"


def answers_for(town: Town, speaker: str, to: str) -> str:
    return town.says(
        speaker,
        None,
        outcome=Outcome.TRANSFERRED_OUT,
        answer=None,
        reason_code="OTHER_GROUND",
        reason_text="Đoạn đường này do Sở Xây dựng tỉnh bạn quản lý và duy tu.",
        competent_agency=to,
    )


def test_an_answer_that_names_another_body_does_not_send_a_case_around_either(town: Town) -> None:
    town.says("H26", CaseStep.TRANSFERRED, to_agency="H29")
    assert answers_for(town, "H29", "H26") == "case.transfer-loop"
    assert town.ledger.entries[-1].decision.path == "/competent_agency"
    assert town.mend() == "Transfer it up a level: G22 decides."
    assert answers_for(town, "H29", "H29") == "case.transfer-loop"
    assert answers_for(town, "H29", "H31") == "event.accepted"


def test_the_centre_returns_an_answer_that_only_names_another_body(town: Town) -> None:
    assert answers_for(town, "H26", "H31") == "event.accepted"
    assert town.case.stage is CaseStage.TRANSFERRED_OUT
    assert town.says("G22", CaseStep.ANSWER_RETURNED) == "event.accepted"
    assert (town.case.stage, town.case.owner, town.case.is_resolved) == (CaseStage.IN_PROGRESS, "H26", False)


@pytest.mark.parametrize("kind", Diversion)
def test_a_case_that_is_known_to_be_a_complaint_ends_as_it_is_received(kind: Diversion) -> None:
    ledger, h26 = MemoryLedger(), Lane("H26")
    ledger.take(h26.say(receipt(subject="", content="", diverted=kind)))
    assert ledger.history.cases["H26-0001"].stage is CaseStage.DIVERTED
    for said in (answer(), progress(CaseStep.ACCEPTED), progress(CaseStep.REOPENED)):
        assert ledger.take(h26.say(said))[0].decision.rule == "case.step-not-allowed"


def test_a_case_that_was_diverted_by_mistake_goes_on_as_a_new_one_as_the_refusal_to_open_it_says() -> None:
    ledger, h26 = MemoryLedger(), Lane("H26")
    ledger.take(h26.say(receipt()), h26.say(progress(CaseStep.DIVERTED)))
    (entry,) = ledger.take(h26.say(progress(CaseStep.REOPENED)))
    mend = catalogue()[entry.decision.rule].mend(entry.decision.params)
    assert mend is not None
    assert all("correlation_id" in text and "DIVERTED" in text for text in (mend.vi, mend.en, mend.zh))
    (entry,) = ledger.take(h26.say(receipt("H26-0002", 2), correlation_id="H26-0001"))
    assert entry.decision.rule == "event.accepted"


def test_a_limit_of_the_installation_holds_from_its_day_on() -> None:
    town = Town()
    day = town.lanes["H26"].now.date()
    shipped = Limits.read().told
    later = {"id": "own", "name": "transfers", "value": 1, "valid_from": str(day + timedelta(days=1))}
    for limits, rule in (
        (Limits.parse([*shipped, {**later, "valid_from": str(day)}]), "case.too-many-transfers"),
        (Limits.parse([*shipped, later]), "event.accepted"),
    ):
        town = Town(Bounds(limits=limits))
        town.says("H26", CaseStep.TRANSFERRED, to_agency="H29")
        assert town.says("H29", CaseStep.TRANSFERRED, to_agency="H31") == rule
    written = json.loads(written_bounds(Bounds(limits=limits)))
    assert read_bounds(written).limits.of(Limited.TRANSFERS, day + timedelta(days=1)) == 1


def test_nobody_transfers_to_itself(town: Town) -> None:
    assert town.says("H26", CaseStep.TRANSFERRED, to_agency="H26") == "case.transfer-loop"


def test_a_case_is_not_passed_on_for_ever(town: Town) -> None:
    way = ["H26", "H29", "H31", "H32", "H37", "H38"]
    found = [town.says(one, CaseStep.TRANSFERRED, to_agency=to) for one, to in pairwise(way)]
    assert found == ["event.accepted"] * 4 + ["case.too-many-transfers"]
    assert town.says("H37", CaseStep.TRANSFERRED, to_agency="G22") == "event.accepted"


def test_a_reopened_case_may_go_where_it_was(town: Town) -> None:
    town.says("H26", CaseStep.TRANSFERRED)
    town.says("H29", None)
    assert town.says("H29", CaseStep.REOPENED) == "event.accepted"
    assert town.says("H29", CaseStep.TRANSFERRED, to_agency="H26") == "event.accepted"


def test_a_transfer_to_an_abolished_body_goes_to_its_only_successor(town: Town) -> None:
    heir = directory().heir_of("H02", town.lanes["H26"].now.date())
    assert heir not in (None, "H02")
    assert town.says("H26", CaseStep.TRANSFERRED, to_agency="H02") == "event.accepted"
    assert town.case.owner == heir


def test_a_body_with_several_successors_is_named_with_all_of_them(town: Town) -> None:
    assert town.says("H26", CaseStep.TRANSFERRED, to_agency="G07") == "case.transfer-to-several"
    named = set(town.ledger.entries[-1].decision.params["successors"].split(", "))
    assert len(named) > 1
    assert named == {one.code for one in directory().successors("G07", town.lanes["H26"].now.date())}


def test_an_answer_may_be_given_again_after_it_was_returned_or_the_case_opened_again(town: Town) -> None:
    for rule in ("event.accepted", "case.already-resolved"):
        assert town.says("H26", None) == rule
    assert town.says("G22", CaseStep.ANSWER_RETURNED) == "event.accepted"
    assert not town.case.is_resolved
    assert town.says("H26", None) == "event.accepted"
    assert town.says("H26", CaseStep.REOPENED) == "event.accepted"
    assert town.says("H26", None) == "event.accepted"


def test_an_answer_is_returned_no_more_once_the_centre_published_it(town: Town) -> None:
    town.says("H26", None)
    town.says("H26", CaseStep.PUBLISHED)  # on its own page; that does not bind the centre
    assert town.says("G22", CaseStep.ANSWER_RETURNED) == "event.accepted"
    town.says("H26", None)
    town.says("G22", CaseStep.PUBLISHED)
    assert town.says("G22", CaseStep.ANSWER_RETURNED) == "case.answer-shown"
    assert town.says("H26", CaseStep.REOPENED) == "event.accepted"
    town.says("H26", None)
    assert town.says("G22", CaseStep.ANSWER_RETURNED) == "event.accepted", "the new answer is another one"


@pytest.mark.parametrize(
    ("review", "after", "public", "rule"),
    [
        (24, timedelta(hours=24) - timedelta(milliseconds=1), True, "event.accepted"),
        (24, timedelta(hours=24), True, "case.answer-shown"),
        (24, timedelta(days=30), False, "event.accepted"),  # it is never shown
        (0, timedelta(0), True, "case.answer-shown"),
    ],
)
def test_an_answer_is_returned_for_as_long_as_it_is_not_shown(
    review: int, after: timedelta, public: bool, rule: str
) -> None:
    town = Town(Bounds(review=timedelta(hours=review)))
    town.says("H26", None, public=public)
    town.lanes["G22"].now = town.lanes["H26"].now + after - timedelta(milliseconds=1)  # saying takes one
    assert town.says("G22", CaseStep.ANSWER_RETURNED) == rule


def test_a_step_waits_for_the_receipt_of_its_case() -> None:
    ledger, h26 = MemoryLedger(), Lane("H26")
    assert ledger.take(h26.say(progress(CaseStep.ACCEPTED)))[0].decision.rule == "case.waits-for-receipt"
    ledger.take(h26.say(receipt()))
    assert [entry.decision.rule for entry in ledger.entries][-2:] == ["event.accepted"] * 2
    assert ledger.history.cases["H26-0001"].stage is CaseStage.IN_PROGRESS


@pytest.mark.parametrize(
    ("review", "public", "later"),
    [(timedelta(hours=24), True, timedelta(hours=24)), (timedelta(hours=24), False, None), (timedelta(0), True, None)],
)
def test_the_acceptance_of_a_public_answer_says_from_when_on_it_is_shown(
    review: timedelta, public: bool, later: timedelta | None
) -> None:
    town = Town(Bounds(review=review))
    (entry,) = town.ledger.take(town.lanes["H26"].say(answer(public=public)))
    assert entry.decision.rule == "event.accepted"
    shown_from = None if later is None else (entry.received_at + later).isoformat(timespec="milliseconds")
    assert entry.decision.params.get("shown_from") == shown_from
