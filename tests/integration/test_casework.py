"""Casework over a real ledger: clocks, timers, climbs, figures; folded once and folded anew."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from importlib.resources import files
from itertools import groupby, pairwise

import psycopg
import pytest

from bus_events import answer, progress, receipt
from casework_bench import CaseworkBench, casework_bench
from ledger_facts import one, rows
from legal_rows import ROWS, case_of, said_of
from portalbus.infra.cli.app import run
from portalbus.producers.testing import a_step
from portalbus.schemas.directory import AgencyDirectory
from portalbus.schemas.law.calendar import WorkingCalendar
from portalbus.schemas.models import CaseStep, CaseUrgency, FeedbackResolved, Outcome, RefusalReason
from portalbus.schemas.zone import ZONE
from portalbus.streams.casework.timers import OF_ONE_AGENCY
from portalbus.streams.reading.accountability import GroupBy, Wanted, read_figures, total
from portalbus.streams.reading.casework import mismatches, urgent_cases

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
        ("ACKNOWLEDGE", 2): "OPEN",  # nobody has said yet that they have it: the climb goes on
        ("ANSWER", 1): "VOID",
        ("PASS_ON", 1): "MET",
    }
    tell("G11", CaseStep.ACKNOWLEDGED, MONDAY + 80 * minute)
    assert bench.deadlines(case)["ACKNOWLEDGE", 2] == "MET"
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


MINUTE = timedelta(minutes=1)


def urgent(bench: CaseworkBench, case: str, number: int) -> None:
    bench.say("H26", receipt(case, number, regime="R6", received_at=bench.now, urgency=CaseUrgency.URGENT))


def test_an_urgent_case_that_is_passed_on_every_59_minutes_climbs_all_the_same(bench: CaseworkBench) -> None:
    case, way = "H26-0007", ("H26", "H29", "H31", "H32", "H37")
    urgent(bench, case, 7)
    for step, (speaker, to) in enumerate(pairwise(way), 1):
        bench.now = MONDAY + step * 59 * MINUTE
        bench.say(speaker, a_step(case, CaseStep.TRANSFERRED, at=bench.now, to_agency=to))
        bench.work()
    raised = [(told_to, open_) for _, kind, told_to, open_ in bench.escalations() if kind == "ESCALATED"]
    assert raised[:2] == [("G22", True), ("G22", True)]
    assert ("PM", True) in raised
    assert bench.alerts() == [("case.escalated", "G22"), ("case.in-digest", "")]
    assert {found.authority for found in urgent_cases(bench.look)} == {"G22", "H37"}
    bench.say("H37", a_step(case, CaseStep.ACKNOWLEDGED, at=bench.now))
    bench.work()
    assert bench.alerts() == [] and urgent_cases(bench.look) == []


def test_an_urgent_case_that_is_lowered_and_raised_keeps_what_was_missed(bench: CaseworkBench) -> None:
    case = "H26-0008"
    urgent(bench, case, 8)
    bench.work(MONDAY + 61 * MINUTE)
    for level in (CaseUrgency.NORMAL, CaseUrgency.URGENT):
        reason = "Nước đã rút, người dân an toàn, không còn khẩn cấp."
        bench.say("H26", a_step(case, CaseStep.URGENCY_CHANGED, at=bench.now, urgency=level, reason=reason))
    bench.work(MONDAY + 130 * MINUTE)
    assert bench.escalations() == [(case, "ESCALATED", "G22", False), (case, "ESCALATED", "G22", True)]
    assert one(bench.look, "select urgent from ledger.case") is True


def test_a_case_that_becomes_urgent_later_goes_ahead_of_what_is_queued(bench: CaseworkBench) -> None:
    bench.say("H26", receipt("H26-0009", 9, regime="R6", received_at=MONDAY))
    bench.work()
    bench.say(
        "H56", *(receipt(f"H56-{number:04}", 100 + number, regime="R6", received_at=MONDAY) for number in range(30))
    )
    bench.say("H26", a_step("H26-0009", CaseStep.URGENCY_CHANGED, at=bench.now, urgency=CaseUrgency.URGENT))
    assert bench.worker.step(), "one step: a slice is seven events"
    assert [found.case_id for found in urgent_cases(bench.look)] == ["H26-0009"]
    assert one(bench.look, "select count(*) from casework.case") < 31


def test_what_a_merged_body_owes_is_owed_by_its_heir_from_that_day_on(bench: CaseworkBench) -> None:
    bench.now = datetime(2025, 6, 25, 9, tzinfo=ZONE)
    bench.say("H02", receipt("H02-0001", 1, regime="R5", received_at=bench.now))
    bench.say(
        "H02", receipt("H02-0002", 2, regime="R5", received_at=bench.now), answer("H02-0002", answered_at=bench.now)
    )
    bench.work()
    owed = "select case_id, agency from casework.deadline where duty = 'ANSWER' order by case_id"
    assert rows(bench.look, owed) == [("H02-0001", "H02"), ("H02-0002", "H02")]
    bench.work(datetime(2025, 7, 1, 0, 1, tzinfo=ZONE))
    assert rows(bench.look, owed) == [("H02-0001", "H05"), ("H02-0002", "H02")], "what was done stays with who did it"
    bench.work(datetime(2025, 8, 1, tzinfo=ZONE))
    assert bench.alerts() == [("case.overdue", "H05")]
    before = bench.folded()
    bench.worker.forget()
    bench.work()
    assert bench.folded() == before


def test_an_urgent_case_of_a_merged_body_waits_for_its_heir_and_of_several_heirs_for_the_centre(
    bench: CaseworkBench,
) -> None:
    bench.bodies = merged(bench.bodies, {"H26": "H29", "H31": "H32;H37"}, MONDAY.date())
    bench.worker = bench.caseworker()
    bench.now = datetime(2026, 3, 2, 23, 50, tzinfo=ZONE)
    for number, agency in enumerate(("H26", "H31"), 27):
        case = receipt(f"{agency}-0027", number, regime="R6", received_at=bench.now, urgency=CaseUrgency.URGENT)
        bench.say(agency, case)
    bench.work()
    assert [found.authority for found in urgent_cases(bench.look)] == ["H26", "H31"]
    bench.work(bench.now + 11 * MINUTE)
    assert [found.authority for found in urgent_cases(bench.look)] == ["H29", "G22"]
    bench.say("G22", a_step("H26-0027", CaseStep.ACKNOWLEDGED, at=bench.now))
    bench.work(bench.now + 60 * MINUTE)
    assert bench.alerts() == [("case.in-digest", "")], "nobody guesses which of two heirs has it"


def merged(bodies: AgencyDirectory, heirs: Mapping[str, str], last_day: date) -> AgencyDirectory:
    """A directory in which these bodies end on that day, taken over by others."""
    header, *lines = bodies.text.splitlines()
    changed = [
        f"{code},province,2020-09-15,{last_day},{heirs[code]}" if (code := line.split(",")[0]) in heirs else line
        for line in lines
    ]
    return AgencyDirectory.parse("\n".join([header, *changed]))


def test_a_new_directory_is_written_down_with_the_law_and_open_cases_follow_it(bench: CaseworkBench) -> None:
    bench.say("H26", receipt("H26-0010", 10, regime="R5", received_at=MONDAY))
    bench.work()
    bench.bodies = merged(bench.bodies, {"H26": "H29"}, MONDAY.date())
    bench.worker = bench.caseworker()
    bench.work(MONDAY + DAY)
    assert rows(bench.look, "select agency from casework.deadline") == [("H29",)]
    assert one(bench.look, "select count(distinct directory) from casework.law") == 2
    before = bench.folded()
    bench.worker.forget()
    bench.work()
    bench.work()  # by the law of then, and then by the one in force
    assert bench.folded() == before


def test_the_children_of_a_split_are_waited_for(bench: CaseworkBench) -> None:
    bench.say("H26", receipt("H26-0011", 11, regime="R5", received_at=MONDAY))
    bench.say("H26", a_step("H26-0011", CaseStep.SPLIT, at=MONDAY, children=("H26-0012", "H26-0013")))
    bench.say("H26", receipt("H26-0012", 12, regime="R5", received_at=MONDAY))
    bench.work()
    assert bench.deadlines("H26-0011")["CHILDREN", 1] == "OPEN"
    bench.work(MONDAY + 2 * DAY)
    assert bench.deadlines("H26-0011")["CHILDREN", 1] == "MISSED"
    assert bench.alerts() == [("case.overdue", "H26")]
    bench.say("H26", receipt("H26-0013", 13, regime="R5", received_at=bench.now))
    bench.work()
    assert bench.deadlines("H26-0011")["CHILDREN", 1] == "LATE"
    assert bench.alerts() == []
    before = bench.folded()
    bench.worker.forget()
    bench.work()
    assert bench.folded() == before


def test_children_that_are_there_in_time_are_owed_no_more(bench: CaseworkBench) -> None:
    bench.say("H26", receipt("H26-0014", 14, regime="R5", received_at=MONDAY))
    bench.say("H26", *(receipt(f"H26-00{number}", number, regime="R5", received_at=MONDAY) for number in (15, 16)))
    bench.say("H26", a_step("H26-0014", CaseStep.SPLIT, at=MONDAY, children=("H26-0015", "H26-0016")))
    bench.work()
    assert bench.deadlines("H26-0014")["CHILDREN", 1] == "MET"


def test_an_older_case_is_no_child(bench: CaseworkBench) -> None:
    bench.say("H26", *(receipt(f"H26-00{number}", number, regime="R5", received_at=MONDAY) for number in (17, 18, 19)))
    bench.say("H26", a_step("H26-0019", CaseStep.SPLIT, at=MONDAY, children=("H26-0017", "H26-0018")))
    bench.work(MONDAY + 2 * DAY)
    assert bench.deadlines("H26-0019")["CHILDREN", 1] == "MISSED"


def test_an_answer_that_is_shown_once_its_review_is_over_is_published_in_time(bench: CaseworkBench) -> None:
    bench.say("H26", receipt("H26-0020", 20, regime="R4", received_at=MONDAY))
    bench.say("H26", answer("H26-0020", answered_at=MONDAY))
    bench.say("H26", receipt("H26-0021", 21, regime="R4", received_at=MONDAY))
    bench.say("H26", answer("H26-0021", answered_at=MONDAY, public=False))
    bench.work()
    assert bench.deadlines("H26-0020")["PUBLISH", 1] == "OPEN"
    bench.work(MONDAY + 20 * DAY)
    assert bench.deadlines("H26-0020")["PUBLISH", 1] == "MET"
    assert bench.alerts() == []


def test_an_answer_that_is_never_shown_by_itself_is_published_late(bench: CaseworkBench) -> None:
    bench.look.execute("insert into ledger.review (lasts) values (interval '36500 days')")
    try:
        bench.say("H26", receipt("H26-0022", 22, regime="R4", received_at=MONDAY))
        bench.say("H26", answer("H26-0022", answered_at=MONDAY))
        bench.work(MONDAY + 20 * DAY)
        assert bench.deadlines("H26-0022")["PUBLISH", 1] == "MISSED"
        assert bench.alerts() == [("case.overdue", "H26")]
    finally:
        bench.look.execute("delete from ledger.review")


def test_what_the_rules_of_competence_say_is_kept_beside_the_body_that_a_case_names(bench: CaseworkBench) -> None:
    bench.say(
        "H26",
        *(
            receipt(case, number, area=area, received_at=MONDAY)
            for case, number, area in (("H26-0023", 23, "01"), ("H26-0024", 24, "04"))
        ),
    )
    bench.work()
    found = rows(bench.look, "select case_id, named, suggested, rules, differs from casework.routing order by case_id")
    assert found == [
        ("H26-0023", "H26", "H26", ["local.province.2025"], False),
        ("H26-0024", "H26", "H14", ["local.province.2025"], True),
    ]
    assert [(told.case_id, told.suggested) for told in mismatches(bench.look)] == [("H26-0024", "H14")]
    bench.say("H26", progress(CaseStep.TRANSFERRED, "H26-0024", to_agency="H29", at=MONDAY))
    bench.work()
    named, has_it, suggested = (mismatches(bench.look, agency) for agency in ("H26", "H29", "H14"))
    assert (len(named), len(has_it), suggested) == (1, 1, [])
    bench.say("H29", progress(CaseStep.TRANSFERRED, "H26-0024", to_agency="H14", at=MONDAY))
    bench.work()
    assert mismatches(bench.look) == [], "it is where the rules want it"
    assert len(mismatches(bench.look, ended=True)) == 1


def test_the_command_lists_the_cases_that_name_another_body(
    bench: CaseworkBench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.say("H26", receipt("H26-0024", 24, area="04", received_at=MONDAY))
    bench.work()
    where = ["cases", "mismatches", "--database-url", bench.url]
    assert run([*where, "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["case_id"], told["named"], told["suggested"]) == ("H26-0024", "H26", "H14")
    assert run(where) == 0 and "local.province.2025" in capsys.readouterr().out
    bench.say("H26", answer("H26-0024", answered_at=MONDAY))
    bench.work()
    assert run(where) == 0 and "every case names the body" in capsys.readouterr().out


def test_a_notice_of_a_denunciation_is_owed_nothing(bench: CaseworkBench) -> None:
    bench.say("H26", receipt("H26-0025", 25, received_at=MONDAY, subject="", content="", diverted="DENUNCIATION"))
    bench.work(MONDAY + 300 * DAY)
    assert rows(bench.look, "select state from casework.deadline where state not in ('MET', 'VOID')") == []
    assert rows(bench.look, "select ending from casework.handling") == [("DIVERTED",)]


def test_lives_that_other_code_has_folded_are_folded_anew(bench: CaseworkBench) -> None:
    bench.say("H26", receipt("H26-0026", 26, regime="R5", received_at=MONDAY))
    bench.work()
    before = bench.folded()
    bench.look.execute("update casework.place set fold = 1")
    bench.look.execute("update casework.case set life = jsonb_build_object('old', true)")
    bench.worker = bench.caseworker()
    bench.work()
    assert bench.folded() == before


def test_a_thousand_due_cases_of_one_body_do_not_keep_another_one_waiting(bench: CaseworkBench) -> None:
    bench.say("H56", *(receipt(f"H56-{number:04}", number, regime="R5", received_at=MONDAY) for number in range(1_000)))
    bench.say("H26", receipt("H26-0001", 2_000, regime="R5", received_at=MONDAY + MINUTE))
    bench.work()
    bench.now = MONDAY + 15 * DAY
    bench.worker.step()
    missed = "select count(*) from casework.deadline where state = 'MISSED' and agency = "
    assert one(bench.look, f"{missed}'H26'") == 1
    assert one(bench.look, f"{missed}'H56'") == OF_ONE_AGENCY
    for _ in range(4):
        bench.work()
    assert one(bench.look, f"{missed}'H56'") == 1_000


def test_a_lane_that_lags_delays_its_own_cases_alone_and_not_longer_than_patience(bench: CaseworkBench) -> None:
    bench.patience = timedelta(minutes=15)
    bench.worker = bench.caseworker()
    for agency in ("H26", "H56"):
        bench.say(agency, receipt(f"{agency}-0001", 1 if agency == "H26" else 2, regime="R5", received_at=MONDAY))
    bench.work()
    due = datetime(2026, 3, 17, tzinfo=ZONE)
    hear = "insert into ledger.hearing (agency, heard_since, heard_until) values ('H26', %s, %s), ('H56', %s, %s)"
    bench.look.execute(hear, (MONDAY, due + MINUTE, MONDAY, due - MINUTE))
    try:
        bench.work(due + 5 * MINUTE)
        assert bench.deadlines("H26-0001")["ANSWER", 1] == "MISSED"
        assert bench.deadlines("H56-0001")["ANSWER", 1] == "OPEN"
        bench.work(due + 16 * MINUTE)
        assert bench.deadlines("H56-0001")["ANSWER", 1] == "MISSED"
    finally:
        bench.look.execute("truncate ledger.hearing")


def test_what_became_due_while_no_process_was_there_is_told_once_by_the_next_one(bench: CaseworkBench) -> None:
    bench.say("H26", receipt("H26-0001", 1, regime="R5", received_at=MONDAY))
    urgent(bench, "H26-0002", 2)
    bench.work()
    bench.kill()
    with pytest.raises(psycopg.OperationalError):
        bench.worker.step()
    bench.now = MONDAY + 15 * DAY
    for _ in range(2):
        bench.restart()
        bench.work()
        assert bench.deadlines("H26-0001") == {("ANSWER", 1): "MISSED"}
        assert bench.alerts() == [("case.escalated", "G22"), ("case.in-digest", ""), ("case.overdue", "H26")]
    assert one(bench.look, "select count(*) from ledger.alert") == 3, "each of them once"
