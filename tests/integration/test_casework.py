"""Casework over a real ledger: clocks, timers, climbs, figures; folded once and folded anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from importlib.resources import files
from itertools import groupby

import pytest

from bus_events import answer, receipt
from casework_bench import CaseworkBench, casework_bench
from ledger_facts import rows
from legal_rows import ROWS, case_of, said_of
from portalbus.producers.testing import a_step
from portalbus.schemas.law.calendar import WorkingCalendar
from portalbus.schemas.models import CaseStep, CaseUrgency, FeedbackResolved, Outcome, RefusalReason
from portalbus.schemas.working_time import ZONE
from portalbus.streams.reading.accountability import GroupBy, Wanted, read_figures, total

MONDAY = datetime(2026, 3, 2, 9, tzinfo=ZONE)
DAY = timedelta(days=1)


@pytest.fixture
def bench(ledger_url: str) -> Iterator[CaseworkBench]:
    with casework_bench(ledger_url) as found:
        found.now = MONDAY
        yield found


def test_a_case_is_overdue_when_its_term_is_over_and_no_longer_once_it_is_answered(bench: CaseworkBench) -> None:
    bench.say("H26", receipt("H26-0001", regime="R5", received_at=MONDAY))
    bench.work()
    assert bench.deadlines("H26-0001") == {("ANSWER", 1): "OPEN"}
    bench.work(MONDAY + 14 * DAY)
    assert bench.deadlines("H26-0001") == {("ANSWER", 1): "OPEN"}
    bench.work(MONDAY + 15 * DAY)
    assert bench.deadlines("H26-0001") == {("ANSWER", 1): "MISSED"}
    assert bench.escalations() == [("H26-0001", "OVERDUE", "H26", True)]
    assert bench.alerts() == [("case.overdue", "H26")]
    bench.say("H26", answer("H26-0001", answered_at=bench.now))
    bench.work()
    assert bench.deadlines("H26-0001") == {("ANSWER", 1): "LATE"}
    assert bench.escalations() == [("H26-0001", "OVERDUE", "H26", False)]
    assert bench.alerts() == []


def test_an_urgent_case_that_nobody_acknowledges_climbs_to_the_digest(bench: CaseworkBench) -> None:
    urgent = receipt("H26-0002", regime="R6", received_at=MONDAY, urgency=CaseUrgency.URGENT)
    bench.say("H26", urgent)
    bench.work(MONDAY + timedelta(minutes=59))
    assert bench.escalations() == []
    bench.work(MONDAY + timedelta(minutes=61))
    assert bench.escalations() == [("H26-0002", "ESCALATED", "G22", True)]
    assert bench.alerts() == [("case.escalated", "G22")]
    bench.work(MONDAY + timedelta(minutes=121))
    assert bench.escalations() == [("H26-0002", "ESCALATED", "G22", True), ("H26-0002", "ESCALATED", "PM", True)]
    assert bench.alerts() == [("case.escalated", "G22"), ("case.in-digest", "")]


def varied_cases(bench: CaseworkBench) -> None:
    """Forty cases of all regimes over two weeks, some urgent, some refused, looked at sixty days later."""
    for number in range(40):
        urgency = CaseUrgency.URGENT if number % 5 == 0 else CaseUrgency.NORMAL
        regime = f"R{number % 7 + 1}"
        case = f"H56-{number:04}"
        bench.say("H56", receipt(case, number, regime=regime, received_at=bench.now, urgency=urgency))
        if number % 3 == 0:
            bench.now += DAY
        if number % 4 == 1:
            bench.say("H56", refusal(case, bench.now))
        if number % 7 == 0:
            bench.work()
    bench.work(MONDAY + 60 * DAY)


def refusal(case: str, at: datetime) -> FeedbackResolved:
    return answer(
        case,
        outcome=Outcome.REJECTED,
        answer=None,
        reason_code=RefusalReason.DUPLICATE,
        reason_text="Nội dung trùng với phản ánh đã trả lời trước đó.",
        legal_basis="Nghị định 20/2008/NĐ-CP",
        answered_at=at,
    )


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.INSUFFICIENT_BASIS])
def test_a_case_without_enough_to_go_on_is_refused_and_owes_the_notice_of_a_refusal(
    bench: CaseworkBench, outcome: Outcome
) -> None:
    bench.say("H26", receipt("H26-0003", 3, regime="R5", received_at=MONDAY))
    bench.now = MONDAY + DAY
    bench.say("H26", refusal("H26-0003", bench.now).model_copy(update={"outcome": outcome}))
    bench.work()
    assert bench.deadlines("H26-0003") == {("ANSWER", 1): "MET", ("REFUSE", 1): "MET"}
    figures = total(read_figures(bench.look, Wanted(date(2026, 1, 1), date(2026, 12, 31), None, (GroupBy.AGENCY,))))
    assert (figures.counts.refused, figures.refusals) == (1, {"DUPLICATE": 1})


def test_folded_anew_from_the_ledger_casework_has_the_same_rows(bench: CaseworkBench) -> None:
    varied_cases(bench)
    before = bench.folded()
    assert all(before.values())
    bench.worker.forget()
    assert not any(bench.folded().values())
    bench.work()
    assert bench.folded() == before


def test_every_date_of_the_legal_table_comes_out_of_the_ledger_and_again_when_it_is_folded_anew(
    bench: CaseworkBench,
) -> None:
    said = sorted((one for row in ROWS for one in said_of(row)), key=lambda one: one[0])
    for at, group in groupby(said, key=lambda one: one[0]):
        bench.say("H26", *(payload for _, payload in group), at=at)
    bench.work(said[-1][0] + 60 * DAY)
    due = "select case_id, duty, due_on::text from casework.deadline where due_on is not null"
    first = rows(bench.look, due)
    missing = [row for row in ROWS if (case_of(row), row["duty"], row["due_on"]) not in set(first)]
    assert not missing
    only = {(row["duty"], case_of(row)): row["due_on"] for row in ROWS if row["duty"] != "PROGRESS"}
    assert {(duty, case): day for case, duty, day in first if (duty, case) in only} == only
    before = bench.folded()
    bench.worker.forget()
    assert not any(bench.folded().values())
    bench.work()
    assert bench.folded() == before


def test_a_new_calendar_holds_from_where_it_was_first_seen_and_a_replay_knows_it(bench: CaseworkBench) -> None:
    bench.say("H26", receipt("H26-0003", 3, regime="R5", received_at=MONDAY))
    bench.say("H26", receipt("H26-0004", 4, regime="R5", received_at=MONDAY), answer("H26-0004", answered_at=MONDAY))
    bench.work()
    storm = "date,kind,name_vi,source,confidence\n2026-03-05,off,Nghỉ bão,Công điện,high\n"
    text = files("portalbus.schemas").joinpath("data/days_off.csv").read_text(encoding="utf-8")
    bench.calendar = WorkingCalendar.parse(text + storm.splitlines()[1] + "\n")
    bench.worker = bench.caseworker()
    bench.say("H26", receipt("H26-0005", 5, regime="R5", received_at=MONDAY))
    bench.work()
    dates = "select case_id, due_on, law from casework.deadline where duty = 'ANSWER' order by case_id"
    known = rows(bench.look, dates)
    first, second = (law for (law,) in rows(bench.look, "select id from casework.law order by id"))
    assert known == [
        ("H26-0003", date(2026, 3, 17), second),
        ("H26-0004", date(2026, 3, 16), first),
        ("H26-0005", date(2026, 3, 17), second),
    ]
    bench.worker.forget()
    bench.work()
    assert rows(bench.look, dates) == known


def test_figures_add_up_and_come_out_the_same_when_casework_is_folded_anew(bench: CaseworkBench) -> None:
    varied_cases(bench)
    wanted = Wanted(date(2026, 1, 1), date(2026, 12, 31), None, (GroupBy.AGENCY, GroupBy.REGIME))
    before = read_figures(bench.look, wanted)
    counts = total(before).counts
    assert counts.received == 40
    ended = counts.on_time + counts.late + counts.transferred + counts.diverted + counts.withdrawn + counts.split
    assert ended + counts.open + counts.overdue == 40
    assert total(before).refusals == {"DUPLICATE": 10}
    assert (counts.refused, counts.on_time, counts.late) == (10, 10, 0)
    bench.worker.forget()
    bench.work()
    assert read_figures(bench.look, wanted) == before
    assert total(read_figures(bench.look, replace(wanted, by=(GroupBy.MONTH,)))).counts == counts
    assert read_figures(bench.look, replace(wanted, agency="H5")) == []


def test_a_transferred_urgent_case_is_acknowledged_extended_and_answered(bench: CaseworkBench) -> None:
    case, minute = "H26-0006", timedelta(minutes=1)

    def tell(agency: str, step: CaseStep, at: datetime, **values: object) -> None:
        bench.now = at
        bench.say(agency, a_step(case, step, at=at, **values))
        bench.work()

    urgent = receipt(case, 6, regime="R4", received_at=MONDAY, urgency=CaseUrgency.URGENT)
    bench.say("H26", urgent)
    tell("H26", CaseStep.TRANSFERRED, MONDAY + 70 * minute, to_agency="G11")
    assert bench.deadlines(case) == {
        ("ACKNOWLEDGE", 1): "MISSED",
        ("ACKNOWLEDGE", 2): "VOID",
        ("ANSWER", 1): "VOID",
        ("PASS_ON", 1): "MET",
    }
    tell("G11", CaseStep.ACKNOWLEDGED, MONDAY + 80 * minute)
    tell("G11", CaseStep.ACCEPTED, MONDAY + DAY)
    tell("G11", CaseStep.CLARIFICATION_ASKED, MONDAY + 2 * DAY)
    assert bench.deadlines(case, 2)["ANSWER", 1] == "PAUSED"
    tell("G11", CaseStep.CLARIFICATION_GIVEN, MONDAY + 4 * DAY)
    due = MONDAY + 25 * DAY
    tell("G11", CaseStep.EXTENDED, MONDAY + 10 * DAY, due_on=due.date())
    bench.work(due)
    assert bench.deadlines(case, 2) == {("ACKNOWLEDGE", 1): "MET", ("PASS_ON", 1): "MET", ("ANSWER", 1): "OPEN"}
    bench.say("G11", answer(case, answered_at=due))
    bench.work()
    assert bench.deadlines(case, 2)["ANSWER", 1] == "MET"
    before = bench.folded()
    bench.worker.forget()
    bench.work()
    assert bench.folded() == before
