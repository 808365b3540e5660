"""The plan of the day is told by its seed, and holds every kind of event that it promises."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime

import pytest

from portalbus.infra.demo.cast import choose_cast
from portalbus.infra.demo.day import last_working_day
from portalbus.infra.demo.expectation import expect
from portalbus.infra.demo.plan import Door, Plan, Wire
from portalbus.infra.demo.scenario import FEWEST_EVENTS, write_plan
from portalbus.schemas.directory import directory
from portalbus.schemas.models import (
    CaseStep,
    DirectiveAction,
    DirectivePublished,
    FeedbackProgressed,
    FeedbackReceived,
    FeedbackResolved,
    VerdictStatus,
)

DAY = date(2026, 11, 20)


def plan_of(seed: int = 1, events: int = 800, portals: int = 43, tag: str = "testtag") -> Plan:
    return write_plan(seed, choose_cast(directory(), portals, DAY), events, DAY, tag)


def test_the_same_seed_tells_the_same_day_whatever_the_tag() -> None:
    assert plan_of(5, tag="aaaaaaa").digest == plan_of(5, tag="bbbbbbb").digest
    assert plan_of(5).steps == plan_of(5).steps
    assert plan_of(5).digest != plan_of(6).digest


@pytest.mark.parametrize("events", [FEWEST_EVENTS, 100, 777, 3_000])
def test_a_plan_has_exactly_as_many_events_as_wanted(events: int) -> None:
    assert len(plan_of(events=events).steps) == events


def test_too_few_events_or_portals_are_refused_with_what_is_allowed() -> None:
    with pytest.raises(ValueError, match=str(FEWEST_EVENTS)):
        plan_of(events=FEWEST_EVENTS - 1)
    with pytest.raises(ValueError, match="from 3 to 70"):
        choose_cast(directory(), 71, DAY)


def test_the_cast_begins_with_the_government_portal_and_mixes_ministries_and_provinces() -> None:
    cast = choose_cast(directory(), 43, DAY)
    kinds = Counter(agency.kind for agency in cast)
    assert cast[0].code == "G22"
    assert len({agency.code for agency in cast}) == 43
    assert kinds["province"] >= 20
    assert kinds["ministry"] >= 8


def test_every_kind_of_fault_takes_part_even_in_the_smallest_plan() -> None:
    plan = plan_of(events=FEWEST_EVENTS)
    rules = {step.rule for step in plan.steps}
    assert {"event.duplicate", "lane.agency-mismatch", "case.waits-for-receipt", "refusal.needs-reason-code"} <= rules
    assert {"record.not-avro", "directive.version-stale", "directive.classified", "record.empty"} <= rules
    assert {step.wire for step in plan.steps} == set(Wire)


def test_faulty_records_come_from_the_old_systems_alone() -> None:
    for step in plan_of().steps:
        if step.sent and (step.status is not VerdictStatus.ACCEPTED or step.wire is not Wire.SOUND):
            assert (step.portal, step.door) == ("legacy", Door.KAFKA)


def test_the_versions_of_a_directive_are_published_in_their_order() -> None:
    seen: Counter[str] = Counter()
    for step in plan_of(events=2_000).steps:
        if isinstance(step.payload, DirectivePublished) and step.door is Door.SDK and step.sent:
            key = f"{step.agency}/{step.payload.directive_id}"
            seen[key] += 1
            assert step.payload.version == seen[key]


def test_some_answers_come_before_their_receipt_over_another_lane() -> None:
    plan = plan_of(events=2_000)
    received = {
        step.payload.case_id: step
        for step in plan.steps
        if isinstance(step.payload, FeedbackReceived) and step.fault is None
    }
    early = [
        step
        for step in plan.steps
        if isinstance(step.payload, FeedbackResolved)
        and step.status is VerdictStatus.ACCEPTED
        and step.at < received[step.payload.case_id].at
    ]
    assert len(early) > 20
    assert all(step.agency != received[step.payload.case_id].agency for step in early)  # type: ignore[union-attr]


def test_the_expectation_holds_exactly_what_is_accepted() -> None:
    plan = plan_of(events=1_500)
    expected = expect(plan)
    accepted = [step for step in plan.steps if step.status is VerdictStatus.ACCEPTED]
    versions = sum(len(directive.versions) for directive in expected.directives.values())
    steps = sum(case.steps for case in expected.cases.values())
    answers = sum(isinstance(step.payload, FeedbackResolved) for step in accepted)
    assert versions + len(expected.cases) + answers + steps == len(accepted)
    standing = sum(case.resolved is not None for case in expected.cases.values())
    assert 0 < answers - standing < answers / 5, "some were returned, or given anew"


def test_the_expectation_folds_a_withdrawal_and_an_answer_by_hand() -> None:
    plan = plan_of(events=2_000)
    expected = expect(plan)
    gone = next(item for item in expected.directives.values() if item.newest.action is DirectiveAction.WITHDRAW)
    assert gone.row()["withdrawn"] is True
    assert sorted(gone.versions) == list(range(1, gone.newest.version + 1))
    solved = next(case for case in expected.cases.values() if case.resolved is not None)
    row = solved.row()
    assert (row["state"], row["outcome"]) == ("RESOLVED", solved.resolved.outcome.value)  # type: ignore[union-attr]
    assert row["answered_by"] in (row["owner"], row["receiver"])


def test_cases_live_between_receipt_and_answer_and_all_of_a_life_is_said_by_one_portal() -> None:
    plan = plan_of(events=3_000)
    told: dict[str, set[tuple[str, str]]] = {}
    kinds: set[CaseStep] = set()
    lasting: dict[str, float] = {}
    for step in plan.steps:
        if isinstance(step.payload, FeedbackReceived | FeedbackResolved | FeedbackProgressed) and step.door is Door.SDK:
            told.setdefault(step.payload.case_id, set()).add((step.agency, step.portal))
        if isinstance(step.payload, FeedbackProgressed) and step.status is VerdictStatus.ACCEPTED:
            kinds.add(step.payload.step)
            assert lasting.get(step.payload.case_id, 0.0) < step.at
            lasting[step.payload.case_id] = step.at
    assert kinds >= set(CaseStep) - {CaseStep.DIVERTED, CaseStep.URGENCY_CHANGED}
    assert all(len(told[case]) == 1 for case in lasting)


def test_the_expectation_folds_a_returned_answer_and_a_transfer_by_hand() -> None:
    plan = plan_of(events=3_000)
    cases = expect(plan).cases
    steps = [step.payload for step in plan.steps if isinstance(step.payload, FeedbackProgressed) and step.fault is None]
    moved = next(step for step in steps if step.step is CaseStep.TRANSFERRED)
    row = cases[moved.case_id].row()
    assert (row["owner"], row["state"], row["steps"]) == (moved.to_agency, "RECEIVED", 2)
    assert row["addressed_to"] == cases[moved.case_id].receiver
    returned = next(step for step in steps if step.step is CaseStep.ANSWER_RETURNED)
    row = cases[returned.case_id].row()
    assert (row["state"], row["steps"], row["answer"] is not None) == ("RESOLVED", 3, True)
    gone = next(step for step in steps if step.step is CaseStep.SPLIT)
    assert cases[gone.case_id].row()["state"] == "CLOSED" and set(gone.children) <= set(cases)


def test_the_last_working_day_is_over_and_no_weekend() -> None:
    assert last_working_day(datetime(2026, 11, 23, 3, tzinfo=UTC)) == date(2026, 11, 20)  # Monday 10:00 in Viet Nam
    assert last_working_day(datetime(2026, 11, 23, 11, tzinfo=UTC)) == date(2026, 11, 23)  # Monday 18:00
    assert last_working_day(datetime(2026, 11, 22, 3, tzinfo=UTC)) == date(2026, 11, 20)  # Sunday
