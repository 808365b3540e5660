"""The law's clock: a table of dates with the arithmetic beside each, and what a deadline needs to be reckoned again."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path

import holidays
import pytest

from legal_rows import ROWS, noon
from portalbus.schemas.law.calendar import DayKind, WorkingCalendar
from portalbus.schemas.law.deadlines import Deadline, DeadlineState, deadlines
from portalbus.schemas.law.duty import Duty
from portalbus.schemas.law.facts import CaseFacts, Climb, Extension, Pause
from portalbus.schemas.law.levels import ladder, level_of
from portalbus.schemas.law.regimes import Regimes
from portalbus.schemas.zone import ZONE

CALENDAR, REGIMES = WorkingCalendar.read(), Regimes.read()
MORNING = datetime(2026, 3, 2, 9, tzinfo=ZONE)


def facts_of(row: dict[str, str]) -> CaseFacts:
    pairs = {name: [pair.split() for pair in row[name].split(",") if pair] for name in ("paused", "extended")}
    answered = noon(row["answered"]) if row["answered"] else None
    return CaseFacts(
        regime=row["regime"],
        agency="H26",
        received=datetime.fromisoformat(row["received"]).replace(tzinfo=ZONE),
        answered=answered,
        refused=noon(row["due_on"]) if row["duty"] == "REFUSE" else None,
        pauses=tuple(Pause(noon(first), noon(last)) for first, last in pairs["paused"]),
        extensions=tuple(Extension(noon(told), date.fromisoformat(until)) for told, until in pairs["extended"]),
        progress_told=tuple(noon(day) for day in row["notices"].split(",") if day),
    )


def found(row: dict[str, str], calendar: WorkingCalendar = CALENDAR, regimes: Regimes = REGIMES) -> Deadline:
    """The newest deadline of the row's duty, on the last day of its term."""
    all_ = deadlines(facts_of(row), calendar, regimes, noon(row["due_on"]))
    return [deadline for deadline in all_ if deadline.duty == row["duty"]][-1]


def test_every_date_of_the_table_comes_out() -> None:
    wrong = {row["number"]: (str(due), row) for row in ROWS if str(due := found(row).due_on) != row["due_on"]}
    assert not wrong
    assert len(ROWS) >= 300
    assert {row["regime"] for row in ROWS} == set(REGIMES.by_id)


def test_stored_as_text_calendar_and_regimes_give_the_same_dates_again() -> None:
    calendar, regimes = WorkingCalendar.parse(CALENDAR.text), Regimes.parse(REGIMES.text)
    assert (calendar.version, regimes.version) == (CALENDAR.version, REGIMES.version)
    assert [found(row, calendar, regimes) for row in ROWS] == [found(row) for row in ROWS]


def test_a_deadline_names_its_rule_and_the_versions_it_was_reckoned_by() -> None:
    (answer, _) = deadlines(CaseFacts("R2", "G22", MORNING), CALENDAR, REGIMES, MORNING)
    assert (answer.rule, answer.calendar, answer.regimes) == ("r2.answer.2017", CALENDAR.version, REGIMES.version)
    assert answer.due_at == datetime(2026, 3, 24, tzinfo=ZONE)
    assert answer.state(answer.due_at - timedelta(seconds=1)) is DeadlineState.OPEN
    assert answer.state(answer.due_at) is DeadlineState.MISSED


def test_the_day_is_the_day_in_viet_nam() -> None:
    late = datetime.fromisoformat("2026-03-02T17:30:00+00:00")  # half past midnight of the 3rd
    (answer,) = deadlines(CaseFacts("R5", "H26", late), CALENDAR, REGIMES, late)
    assert answer.due_on == date(2026, 3, 17)


class Counting(WorkingCalendar):
    """Counts how often it is asked whether a day is worked."""

    asked = 0

    def is_worked(self, day: date) -> bool:
        self.asked += 1
        return super().is_worked(day)


def test_an_extension_up_to_the_year_9999_is_the_longest_allowed_and_takes_no_longer_to_reckon() -> None:
    calendar = Counting(CALENDAR.exceptions)
    found = {}
    for until in (date(2026, 12, 31), date.max):
        facts = CaseFacts("R6", "G22", MORNING, extensions=(Extension(MORNING + timedelta(days=1), until),))
        found[until] = deadlines(facts, calendar, REGIMES, MORNING)
    assert found[date.max] == found[date(2026, 12, 31)]
    assert calendar.asked < 1_000


def test_while_clarification_is_asked_nothing_is_due() -> None:
    facts = CaseFacts("R5", "H26", MORNING, pauses=(Pause(MORNING + timedelta(days=3)),))
    (answer,) = deadlines(facts, CALENDAR, REGIMES, MORNING)
    assert answer.due_at is None
    assert answer.state(MORNING + timedelta(days=900)) is DeadlineState.PAUSED


def test_a_case_that_left_in_time_is_owed_nothing_and_one_that_left_late_was_missed() -> None:
    for days, state in ((3, DeadlineState.VOID), (40, DeadlineState.MISSED)):
        ended = MORNING + timedelta(days=days)
        facts = CaseFacts("R5", "H26", MORNING, ended=ended)
        (answer,) = deadlines(facts, CALENDAR, REGIMES, ended)
        assert answer.state(ended) is state


def test_every_seven_days_without_a_notice_is_one_missed_until_the_answer_comes() -> None:
    answered = MORNING + timedelta(days=50)
    facts = CaseFacts("R2", "G22", MORNING, answered=answered, ended=answered)
    answer, *progress = deadlines(facts, CALENDAR, REGIMES, answered)
    assert answer.state(answered) is DeadlineState.LATE
    assert Counter(deadline.state(answered) for deadline in progress) == {
        DeadlineState.MISSED: 4,
        DeadlineState.MET: 1,
    }
    assert [deadline.number for deadline in progress] == [1, 2, 3, 4, 5]


def test_an_urgent_case_climbs_from_the_unit_to_the_government_portal() -> None:
    facts = CaseFacts("R6", "H26.01.02", MORNING, climbs=(Climb(MORNING),))
    climb = [one for one in deadlines(facts, CALENDAR, REGIMES, MORNING) if one.duty is Duty.ACKNOWLEDGE]
    assert [(one.owed_by, one.due_at) for one in climb] == [
        ("H26.01.02", MORNING + timedelta(hours=1)),
        ("H26", MORNING + timedelta(hours=2)),
        ("G22", MORNING + timedelta(hours=3)),
    ]
    assert [level_of(one.owed_by) for one in climb] == ["L2", "L1", "L0"]
    assert ladder("G22") == ("G22",)


def test_an_acknowledgement_ends_the_climb_at_the_level_it_had_come_to() -> None:
    told = MORNING + timedelta(minutes=90)
    facts = CaseFacts("R6", "H26.01.02", MORNING, climbs=(Climb(MORNING, told),))
    climb = [one for one in deadlines(facts, CALENDAR, REGIMES, told) if one.duty is Duty.ACKNOWLEDGE]
    assert [one.state(told) for one in climb] == [DeadlineState.LATE, DeadlineState.MET]


def test_an_installation_brings_its_own_numbers_and_a_city_its_own_term(tmp_path: Path) -> None:
    own = tmp_path / "regimes.toml"
    own.write_text(
        '[[term]]\nrule = "r6.answer.H26.2026"\nregime = "R6"\nagency = "H26"\nduty = "ANSWER"\nlength = 3\n'
        'unit = "working days"\nvalid_from = 2026-01-01\nvalid_to = 2026-12-31\nbasis = "law"\n'
        'legal_basis = "Decision of the city"\nconfidence = "high"\n',
        encoding="utf-8",
    )
    regimes = Regimes.read(own)
    rules = {
        (agency, day): regimes.term("R6", Duty.ANSWER, date.fromisoformat(day), agency)
        for agency in ("H26", "H29")
        for day in ("2025-12-31", "2026-05-01", "2027-01-01")
    }
    assert {place: term.rule for place, term in rules.items() if term} == {
        ("H26", "2025-12-31"): "r6.answer.local",
        ("H26", "2026-05-01"): "r6.answer.H26.2026",
        ("H26", "2027-01-01"): "r6.answer.local",
        **{("H29", day): "r6.answer.local" for day in ("2025-12-31", "2026-05-01", "2027-01-01")},
    }
    assert regimes.version != REGIMES.version


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[term]]\nrule = "x"\n', "x"),
        ('[[regime]]\nid = "R9"\nlength = 3\n', "R9"),
        ('[[term]]\nrule="x"\nregime="R8"\nduty="ANSWER"\nlength=3\nunit="working days"\n', "x"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(tmp_path: Path, text: str, told: str) -> None:
    own = tmp_path / "own.toml"
    own.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=told):
        Regimes.read(own)


def test_a_wrong_calendar_is_refused_with_the_line(tmp_path: Path) -> None:
    own = tmp_path / "days.csv"
    own.write_text("date,kind,name_vi,source,confidence\n2027-02-30,off,,,\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"days.csv, line 2"):
        WorkingCalendar.read(own)


def test_the_days_shipped_are_those_of_the_holidays_library() -> None:
    library = holidays.country_holidays("VN", years=range(2024, 2032))
    shipped = {kind: {row.day for row in CALENDAR.exceptions if row.kind is kind} for kind in DayKind}
    assert set(library) == shipped[DayKind.OFF]
    assert {day for day in library.weekend_workdays if day.year >= 2024} == shipped[DayKind.WORK]


def test_every_term_has_its_legal_basis_and_says_how_sure_it_is() -> None:
    for term in REGIMES.by_rule.values():
        assert len(term.legal_basis) > 20
        assert term.confidence in ("high", "medium", "low")
    assert all(set(regime.scope) == {"vi", "en", "zh"} for regime in REGIMES.by_id.values())
