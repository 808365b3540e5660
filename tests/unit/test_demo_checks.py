"""The checks of the demo find every way in which a run can be wrong; a check that never fails proves nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from portalbus.infra.demo.cast import choose_cast
from portalbus.infra.demo.figures import Latency
from portalbus.infra.demo.plan import Door, Plan, Step
from portalbus.infra.demo.scenario import write_plan
from portalbus.infra.demo.sent import Sent, SentLog
from portalbus.infra.demo.verdict_check import (
    OPEN,
    LaneRecord,
    Place,
    check_canonical,
    check_verdict_topics,
    match_steps,
)
from portalbus.schemas.directory import directory
from portalbus.schemas.models import VerdictStatus

DAY = date(2026, 11, 20)


class Run:
    """A run in which everything went right, to be spoiled by the tests."""

    def __init__(self) -> None:
        self.plan: Plan = write_plan(1, choose_cast(directory(), 5, DAY), 100, DAY, "testtag")
        self.log = SentLog()
        self.records: list[LaneRecord] = []
        self.steps: dict[Place, Step] = {}
        self.verdicts: list[tuple[Place, bool, str]] = []
        ends: dict[str, int] = {}
        for step in self.plan.steps:
            if not step.sent:
                self.log.note(Sent(step, 0, 1, refused=step.rule))
                continue
            offset = ends.get(step.agency, 0)
            ends[step.agency] = offset + 1
            place, event_id = (step.agency, offset), f"id-{step.number}"
            self.log.note(Sent(step, 0, 1, event_id, offset if step.door is Door.KAFKA else None))
            self.records.append(LaneRecord(place, event_id))
            self.steps[place] = step
            self.verdicts.append((place, step.status not in OPEN, step.rule))

    def canonical_ids(self) -> list[str | None]:
        return [f"id-{step.number}" for step in self.plan.steps if step.status is VerdictStatus.ACCEPTED]


@pytest.fixture
def run() -> Run:
    return Run()


def test_a_run_in_which_all_is_right_has_no_problem(run: Run) -> None:
    steps, problems = match_steps(run.plan, run.log, run.records)
    assert (steps, problems) == (run.steps, [])
    assert check_verdict_topics(run.verdicts, run.steps) == []
    assert check_canonical(run.canonical_ids(), run.steps, run.log) == []


def test_a_lost_record_is_found(run: Run) -> None:
    place = run.records.pop(10).place
    _, problems = match_steps(run.plan, run.log, run.records)
    assert any("is not in the lane" in problem and place[0] in problem for problem in problems)


def test_a_record_that_nobody_sent_is_found(run: Run) -> None:
    _, problems = match_steps(run.plan, run.log, [*run.records, LaneRecord(("G22", 999), "stranger")])
    assert problems == ["lane.G22@999: nobody sent this record"]


def test_an_event_that_was_delivered_twice_is_found(run: Run) -> None:
    twice = next(record for record in run.records if run.steps[record.place].door is Door.SDK)
    _, problems = match_steps(run.plan, run.log, [*run.records, LaneRecord((twice.place[0], 999), twice.event_id)])
    assert problems == [f"lane.{twice.place[0]}@999: nobody sent this record"]


def test_a_wrong_refusal_of_the_sdk_is_found(run: Run) -> None:
    refused = next(step for step in run.plan.steps if not step.sent)
    honest = run.plan.steps[0]
    run.log.note(Sent(refused, 0, 1, refused="text.not-nfc"))
    run.log.note(Sent(honest, 0, 1, refused="text.not-nfc"))
    _, problems = match_steps(run.plan, run.log, run.records)
    assert f"step {refused.number}: the SDK said text.not-nfc, not {refused.rule}" in problems
    assert f"step {honest.number}: the SDK refused an event that is right: text.not-nfc" in problems


def test_a_step_that_was_never_carried_out_is_found(run: Run) -> None:
    extra = replace(run.plan.steps[0], number=9_999)
    plan = replace(run.plan, steps=(*run.plan.steps, extra))
    _, problems = match_steps(plan, run.log, run.records)
    assert problems == [f"step 9999 of {extra.agency} was never carried out"]


def test_a_missing_verdict_a_second_verdict_and_a_wrong_verdict_are_found(run: Run) -> None:
    final = [verdict for verdict in run.verdicts if verdict[1]]
    spoiled = [verdict for verdict in run.verdicts if verdict is not final[0]] + [final[1]]
    spoiled[spoiled.index(final[2])] = (final[2][0], True, "text.not-nfc")
    problems = check_verdict_topics(spoiled, run.steps)
    assert len(problems) == 3
    assert "no verdict" in problems[0]


def test_an_event_missing_twice_or_wrongly_in_the_canonical_topics_is_found(run: Run) -> None:
    ids = run.canonical_ids()
    problems = check_canonical([*ids[2:], ids[2], "stranger"], run.steps, run.log)
    assert len(problems) == 4


def test_percentiles_are_those_of_the_nearest_rank() -> None:
    latency = Latency.of([ms * 1_000_000 for ms in range(1, 101)])
    assert (latency.p50, latency.p95, latency.p99, latency.max, latency.count) == (51.0, 96.0, 100.0, 100.0, 100)
    assert Latency.of([]).count == 0
