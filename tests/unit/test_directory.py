"""The directory answers for a date: who existed, who took over, under which code."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from portalbus.schemas import directory as directory_module
from portalbus.schemas.directory import (
    FIRST_LEVEL_KINDS,
    AgencyDirectory,
    agency,
    first_level,
    normalise_code,
    successors,
)
from portalbus.schemas.errors import AgencyUnknown

TODAY = date(2026, 11, 22)
BEFORE_MERGERS = date(2025, 6, 30)
AFTER_MERGERS = date(2025, 7, 1)
DIRECTORY = AgencyDirectory.read()


def codes(found: tuple[directory_module.Agency, ...]) -> list[str]:
    return [row.code for row in found]


def test_the_directory_holds_every_agency_that_ever_was_and_seventy_today() -> None:
    assert len(DIRECTORY) == 139
    assert len(DIRECTORY.current(TODAY)) == 70
    first_level_today = [row for row in DIRECTORY.current(TODAY) if row.kind in FIRST_LEVEL_KINDS]
    kinds = [row.kind for row in first_level_today]
    assert {kind: kinds.count(kind) for kind in FIRST_LEVEL_KINDS} == {
        "ministry": 14,
        "ministerial_agency": 3,
        "government_agency": 5,
        "province": 34,
    }


def test_there_were_sixty_three_provinces_until_the_mergers_of_2025_and_thirty_four_after() -> None:
    for day, number in ((BEFORE_MERGERS, 63), (AFTER_MERGERS, 34)):
        assert sum(row.kind == "province" for row in DIRECTORY.current(day)) == number


def test_a_city_that_was_not_merged_stays_what_it_was() -> None:
    for day in (date(2020, 9, 15), BEFORE_MERGERS, AFTER_MERGERS, TODAY):
        assert agency("H26", on=day).name_en == "People's Committee of Hanoi City"
        assert codes(successors("H26", on=day)) == ["H26"]


@pytest.mark.parametrize(
    ("old", "new"), [("H02", "H05"), ("H09", "H29"), ("H06", "H29"), ("H23", "H24"), ("H57", "H57"), ("H63", "H38")]
)
def test_a_merged_province_is_itself_until_the_day_before_and_its_successor_after(old: str, new: str) -> None:
    assert codes(successors(old, on=BEFORE_MERGERS)) == [old]
    assert codes(successors(old, on=AFTER_MERGERS)) == [new]
    assert codes(successors(old, on=TODAY)) == [new]
    if old != new:
        with pytest.raises(AgencyUnknown, match=f"succeeded by {new}"):
            agency(old, on=AFTER_MERGERS)


def test_a_ministry_that_was_divided_has_all_its_successors_and_nobody_guesses() -> None:
    assert codes(successors("G07", on=date(2025, 2, 28))) == ["G07"]
    assert codes(successors("G07", on=date(2025, 3, 1))) == ["G09", "G03", "G18", "G01"]


def test_an_agency_that_changed_its_name_keeps_its_code() -> None:
    assert agency("G10", on=date(2025, 2, 28)).name_en == "Ministry of Agriculture and Rural Development"
    assert agency("G10", on=date(2025, 3, 1)).name_en == "Ministry of Agriculture and Environment"
    assert codes(successors("G13", on=TODAY)) == ["G10"]
    assert agency("H57", on=date(2024, 12, 31)).name_vi == "UBND tỉnh Thừa Thiên Huế"
    assert agency("H57", on=date(2025, 1, 1)).name_vi == "UBND thành phố Huế"


def test_successors_are_followed_over_several_mergers() -> None:
    # Bắc Giang went to Bắc Ninh in 2025, which became a city in 2026.
    assert [row.name_en for row in successors("H02", on=date(2026, 9, 19))] == [
        "People's Committee of Bac Ninh Province"
    ]
    assert [row.name_en for row in successors("H02", on=date(2026, 9, 20))] == ["People's Committee of Bac Ninh City"]


def test_an_agency_exists_from_its_first_day_to_its_last_day_inclusive() -> None:
    for row in DIRECTORY.current(date(2024, 1, 1)):
        assert agency(row.code, on=row.valid_from).code == row.code
        if row.valid_to is not None:
            assert agency(row.code, on=row.valid_to).valid_to == row.valid_to
            assert not row.exists_on(row.valid_to + timedelta(days=1))
        assert not row.exists_on(row.valid_from - timedelta(days=1))


def test_no_code_means_two_agencies_on_one_day() -> None:
    days = {row.valid_from for row in DIRECTORY.current(TODAY)} | {BEFORE_MERGERS, AFTER_MERGERS, date(2026, 9, 1)}
    for day in days:
        found = codes(DIRECTORY.current(day))
        assert len(found) == len(set(found))


def test_every_successor_is_an_agency_that_exists_the_day_after() -> None:
    for day in (date(2024, 12, 31), date(2025, 2, 28), BEFORE_MERGERS):
        for row in DIRECTORY.current(day):
            if row.valid_to == day and row.successor_codes:
                heirs = successors(row.code, on=day + timedelta(days=1))
                assert set(codes(heirs)) == set(row.successor_codes)


def test_an_agency_without_successor_has_nobody_in_its_place() -> None:
    assert successors("G23", on=TODAY) == ()
    with pytest.raises(AgencyUnknown, match="succeeded by nobody"):
        agency("G23", on=TODAY)


def test_a_code_that_never_was_is_unknown() -> None:
    for code in ("H99", "", "hanoi", "H26X", "Z26"):
        with pytest.raises(AgencyUnknown, match="no agency has this code"):
            agency(code, on=TODAY)
        with pytest.raises(AgencyUnknown, match="no agency has this code"):
            successors(code, on=TODAY)


def test_a_day_before_an_agency_was_founded_is_not_its_day() -> None:
    assert successors("G38", on=date(2025, 4, 13)) == ()
    with pytest.raises(AgencyUnknown):
        agency("G38", on=date(2025, 4, 13))


@pytest.mark.parametrize(
    ("written", "present"),
    [
        ("H26", "H26"),
        (" h26 ", "H26"),
        ("H26.01", "H26.01"),
        ("H26.01.03", "H26.01.03"),
        ("000.00.00.H49", "H49"),
        ("00.00.H49", "H49"),
        ("00.01.H26", "H26.01"),
        ("000.05.01.H26", "H26.01.05"),
        ("H26.15.000", "H26.15.000"),
        ("something else", "SOMETHING ELSE"),
        ("", ""),
    ],
)
def test_codes_are_read_in_the_present_and_in_the_older_reversed_form(written: str, present: str) -> None:
    assert normalise_code(written) == present
    assert normalise_code(present) == present


@pytest.mark.parametrize("code", ["H26.01", "H26.01.03", "000.05.01.H26", "00.00.H26"])
def test_a_body_of_any_level_belongs_to_its_first_level_agency(code: str) -> None:
    assert first_level(code) == "H26"
    assert agency(code, on=TODAY).code == "H26"


def test_every_agency_names_its_source_and_how_far_it_is_trusted() -> None:
    for row in DIRECTORY.current(TODAY):
        assert row.source.strip() and row.confidence in ("high", "medium", "low")
        assert row.name_vi.strip() and row.name_en.strip()


def test_an_installation_overrides_the_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "agencies.csv"
    file.write_text(
        "code,name_vi,name_en,kind,valid_from,valid_to,successor_codes,source,confidence\n"
        "X01,Cơ quan thử,Test body,other,2026-01-01,,,test,high\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("PORTALBUS_AGENCIES", str(file))
    directory_module.directory.cache_clear()
    try:
        assert agency("X01", on=TODAY).name_en == "Test body"
        with pytest.raises(AgencyUnknown):
            agency("H26", on=TODAY)
    finally:
        directory_module.directory.cache_clear()


def test_an_answer_is_the_same_when_asked_again() -> None:
    assert DIRECTORY.agency("H26", TODAY) is DIRECTORY.agency("H26", TODAY)
    for _ in range(2):
        with pytest.raises(AgencyUnknown):
            DIRECTORY.agency("H02", TODAY)


@pytest.mark.parametrize(
    ("given", "meant"), [("Hanoi", "H26"), ("Hà Nội", "H26"), ("ho chi minh", "H29"), ("H226", "H26"), ("26", "H26")]
)
def test_who_was_meant_by_what_is_no_code_is_found_by_name_or_likeness(given: str, meant: str) -> None:
    near = DIRECTORY.nearest(given)
    assert near is not None
    assert near.code == meant


@pytest.mark.parametrize("given", ["", "x", "h", "?!", "Atlantis"])
def test_nobody_was_meant_by_what_is_like_nothing(given: str) -> None:
    assert DIRECTORY.nearest(given) is None
