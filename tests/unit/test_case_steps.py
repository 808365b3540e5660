"""What each step does to a case's clocks, and what holds whatever happens to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from portalbus.schemas.law.calendar import WorkingCalendar
from portalbus.schemas.law.duty import Duty
from portalbus.schemas.law.regimes import Regimes
from portalbus.schemas.models import CaseStep, CaseUrgency, FeedbackProgressed
from portalbus.streams.casework.deriving import Law, Moments, Rows, derive
from portalbus.streams.casework.life import Climbed, Ending, Handling, Life
from portalbus.streams.casework.steps import take
from portalbus.streams.casework.store import LIFE

LAW = Law(1, WorkingCalendar.read(), Regimes.read())
MONDAY = datetime(2026, 3, 2, 2, tzinfo=UTC)
DAY = timedelta(days=1)


def life(regime: str = "R5", *, urgent: bool = False, agency: str = "H26.01") -> Life:
    first = Handling(1, agency, MONDAY)
    if urgent:
        first.climbs.append(Climbed(MONDAY))
    return Life("H26-0001", regime, 1, None, None, "RECEIVED", urgent, [first], [], MONDAY)


def step(case: Life, kind: CaseStep, at: datetime, by: str = "H26", **values: object) -> None:
    take(case, FeedbackProgressed(case_id=case.case_id, step=kind, at=at, **values), at, by)


def answered(case: Life, at: datetime) -> None:
    case.now.go_on(at)
    case.now.answered = case.now.ended = case.now.heard = at
    case.now.ending = Ending.ANSWERED
    case.end_climbs(at)


def rows(case: Life, now: datetime) -> Rows:
    return derive(case, LAW, Moments(now, lambda _: now))


def states(case: Life, now: datetime, handling: int = 1) -> dict[str, str]:
    return {row.duty: row.state for row in rows(case, now).deadlines if row.handling == handling}


def test_a_transfer_ends_one_clock_and_starts_the_next() -> None:
    case = life("R4")
    step(case, CaseStep.TRANSFERRED, MONDAY + DAY, to_agency="G11")
    assert [(one.agency, one.ending) for one in case.handlings] == [("H26.01", Ending.TRANSFERRED), ("G11", None)]
    assert states(case, MONDAY + 2 * DAY) == {"PASS_ON": "MET", "ANSWER": "VOID"}
    assert states(case, MONDAY + 2 * DAY, 2) == {"PASS_ON": "OPEN", "ANSWER": "OPEN"}


def test_an_answer_that_is_returned_is_owed_again_and_the_time_in_between_does_not_count() -> None:
    case = life("R5")
    answered(case, MONDAY + 4 * DAY)
    step(case, CaseStep.ANSWER_RETURNED, MONDAY + 20 * DAY)
    assert states(case, MONDAY + 21 * DAY) == {"ANSWER": "OPEN"}
    (due,) = [row.due_on for row in rows(case, MONDAY + 21 * DAY).deadlines]
    # Three of ten days were used (3 to 5 March); from Friday 6 to Sunday 22 March it lay with the centre.
    assert str(due) == "2026-03-31"


def test_a_reopened_case_has_a_clock_of_its_own() -> None:
    case = life("R5")
    answered(case, MONDAY + DAY)
    step(case, CaseStep.REOPENED, MONDAY + 30 * DAY)
    assert states(case, MONDAY + 31 * DAY, 1) == {"ANSWER": "MET"}
    assert states(case, MONDAY + 31 * DAY, 2) == {"ANSWER": "OPEN"}
    assert case.now.reopened


def test_lowering_the_urgency_ends_the_climb_and_keeps_what_was_missed() -> None:
    case = life("R6", urgent=True)
    step(case, CaseStep.URGENCY_CHANGED, MONDAY + timedelta(minutes=70), urgency=CaseUrgency.NORMAL)
    climb = [(row.told_to, row.closed_at is None) for row in rows(case, MONDAY + DAY).escalations]
    assert climb == [("H26", False)]
    step(case, CaseStep.URGENCY_CHANGED, MONDAY + timedelta(hours=5), urgency=CaseUrgency.URGENT)
    raised = [row.told_to for row in rows(case, MONDAY + timedelta(hours=8, minutes=1)).escalations]
    assert raised == ["H26", *("H26", "G22", "PM")], "the first climb, and the second one"


def test_a_life_comes_back_from_the_database_as_it_was() -> None:
    case = life("R2", urgent=True)
    step(case, CaseStep.CLARIFICATION_ASKED, MONDAY + DAY)
    step(case, CaseStep.EXTENDED, MONDAY + 2 * DAY, due_on=(MONDAY + 30 * DAY).date())
    step(case, CaseStep.RATED, MONDAY + 3 * DAY, satisfaction=4)
    assert LIFE.validate_json(LIFE.dump_json(case)) == case


STEPPED = st.lists(
    st.tuples(
        st.sampled_from([*CaseStep, "ANSWERED"]),
        st.integers(0, 60 * 24 * 12),
        st.sampled_from(["H26", "H26.01", "G11", "G22"]),
        st.integers(-5, 60),
    ),
    max_size=12,
)


@given(st.sampled_from([f"R{number}" for number in range(1, 8)]), st.booleans(), STEPPED, st.integers(0, 120))
@settings(max_examples=300, deadline=None)
def test_whatever_happens_every_moment_has_one_owner_and_nothing_is_missed_in_silence(
    regime: str, urgent: bool, told: list[tuple[CaseStep | str, int, str, int]], days: int
) -> None:
    case, at = life(regime, urgent=urgent), MONDAY
    for kind, minutes, agency, ahead in told:
        at += timedelta(minutes=minutes)
        if case.now.ended is not None and kind not in (CaseStep.REOPENED, CaseStep.ANSWER_RETURNED, CaseStep.RATED):
            continue
        if isinstance(kind, CaseStep):
            level = CaseUrgency.URGENT if ahead % 2 else CaseUrgency.NORMAL
            due = (at + ahead * DAY).date()
            step(case, kind, at, to_agency=agency, due_on=due, urgency=level, satisfaction=3)
        else:
            answered(case, at)
    now = at + days * DAY
    found = rows(case, now)
    spans = [(one.received, one.ended) for one in case.handlings]
    assert all(ended is not None and ended <= begins for (_, ended), (begins, _) in pairwise(spans))
    missed = {(row.handling, row.duty, row.number) for row in found.deadlines if row.state in ("MISSED", "LATE")}
    assert missed == {(row.handling, row.duty, row.number) for row in found.escalations}
    for row in found.deadlines:
        if row.state == "OPEN":
            assert row.due_at is not None and row.due_at > now
        if row.state == "PAUSED":
            assert row.due_at is None
    again = derive(LIFE.validate_json(LIFE.dump_json(case)), LAW, Moments(now, lambda _: now))
    assert again == found
    open_answers = [row for row in found.deadlines if row.duty == Duty.ANSWER and row.state in ("OPEN", "PAUSED")]
    assert len(open_answers) <= 1
