"""Who handles a case: by rules of their day, by the directory of that day, and by a person where these name several."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from portalbus.infra.cli.app import run
from portalbus.schemas.directory import AgencyDirectory
from portalbus.schemas.law.competence import Competence, Handler
from portalbus.schemas.law.routing import Matter, Routing, route, way

DIRECTORY = AgencyDirectory.read()
COMPETENCE = Competence.read()
TODAY = date(2026, 11, 23)
BEFORE_MERGERS = date(2025, 2, 28)


def routed(field: str, area: str | None = None, on: date = TODAY, **more: str) -> Routing:
    return route(Matter(field, area, on, **more), COMPETENCE, DIRECTORY)


@pytest.mark.parametrize(
    ("field", "area", "on", "level", "agency", "rule"),
    [
        ("Giao thông", "01", TODAY, None, "H26", "local.province.2025"),
        ("Giao thông", None, TODAY, None, "G17", "ministry.construction.2025"),
        ("giao thong", None, TODAY, None, "G17", "ministry.construction.2025"),
        ("Giao thông", None, BEFORE_MERGERS, None, "G04", "ministry.transport.2022"),
        ("Đất đai", None, BEFORE_MERGERS, None, "G13", "ministry.resources.2022"),
        ("Đất đai", None, TODAY, None, "G10", "ministry.environment.2025"),
        ("Đất đai", "79", TODAY, "L2", "H29", "local.commune.2025"),
        ("Đất đai", "79", TODAY, "L0", "G22", "centre.any.2017"),
        ("Chỉ đạo, điều hành", None, TODAY, None, "G22", "centre.direction.2017"),
        ("Chuyển đổi số", None, TODAY, None, "G06", "ministry.science.2025"),
    ],
)
def test_one_body_handles_a_case_and_a_rule_says_which(
    field: str, area: str | None, on: date, level: str | None, agency: str, rule: str
) -> None:
    found = route(Matter(field, area, on, level), COMPETENCE, DIRECTORY)
    assert (found.agency, [one.id for one in found.rules]) == (agency, [rule])
    assert rule in found.why[0] and found.candidates == ()


def test_rules_that_name_several_bodies_are_a_persons_choice() -> None:
    found = routed("An sinh xã hội")
    assert found.needs_person and found.suggested is None
    assert set(found.candidates) == {"G09", "G18"}
    assert found.why[-1].startswith("a person chooses among")


def test_what_no_rule_speaks_of_is_a_persons_choice() -> None:
    assert routed("Thiên văn", level="L1").needs_person
    assert routed("Giao thông", "24", date(2025, 6, 30), level="L1").needs_person, "the provinces' codes are of 2025"
    assert routed("Giao thông", "98").why[1] == "area 98 is no province of the table"


def test_a_body_that_is_named_has_the_case_and_what_the_rules_say_is_told() -> None:
    found = routed("Giao thông", None, named="H26.05")
    assert (found.agency, found.suggested) == ("H26.05", "G17")
    assert "the case names H26.05; by the rules G17 is competent" in found.why


def test_a_merged_body_is_followed_to_its_successor_of_the_day() -> None:
    assert routed("Giao thông", None, named="G04").agency == "G17"
    assert routed("Giao thông", None, BEFORE_MERGERS, named="G04").agency == "G04"
    assert routed("Y tế", "24", named="H02").agency == "H05"


def test_a_body_with_several_successors_is_a_persons_choice_and_the_rules_suggest_one_of_them() -> None:
    found = routed("Lao động", None, named="G07")
    assert found.needs_person
    assert set(found.candidates) == {"G09", "G03", "G18", "G01"}
    assert found.suggested == "G09"
    assert routed("An sinh xã hội", None, named="G07").suggested is None


def test_a_case_goes_through_the_first_level_of_both_bodies() -> None:
    assert way("G17.02", "H26.05") == ("G17.02", "G17", "H26", "H26.05")
    assert way("H26.01", "H26.05") == ("H26.01", "H26.05")
    assert way(None, "H26") == ("H26",)
    assert routed("Giao thông", "01", received_by="G22").path == ("G22", "H26")


def test_every_handler_that_is_shipped_exists_as_long_as_its_rule_holds() -> None:
    for rule in COMPETENCE.by_id.values():
        for on in (rule.valid_from, rule.valid_to or TODAY):
            if rule.handler not in set(Handler) and on >= date(2020, 9, 15):  # when the directory begins
                assert DIRECTORY.agency(rule.handler, on), rule.id
    assert all(DIRECTORY.agency(code, TODAY) for code in COMPETENCE.provinces.values())


RULE = """
[[rule]]
id = "own.water"
fields = ["Cấp nước"]
area = "01"
level = "L2"
handler = "H26.09"
valid_from = 2026-01-01
basis = "house"
legal_basis = "a decision of the city"
confidence = "high"
"""


def test_an_installation_adds_rules_of_its_own_and_they_say_where_they_are_wrong(tmp_path: Path) -> None:
    own = tmp_path / "competence.toml"
    own.write_text(RULE, encoding="utf-8")
    found = route(Matter("cấp nước", "01", TODAY), Competence.read(own), DIRECTORY)
    assert (found.agency, found.level, found.path) == ("H26.09", "L2", ("H26", "H26.09"))
    assert route(Matter("cấp nước", "79", TODAY), Competence.read(own), DIRECTORY).agency == "H29"
    for wrong, word in (('level = "L2"', 'level = "L9"'), ("valid_from = 2026-01-01", 'valid_from = "soon"')):
        own.write_text(RULE.replace(wrong, word), encoding="utf-8")
        with pytest.raises(ValueError, match=r"competence\.toml.*own\.water"):
            Competence.read(own)
    own.write_text(RULE.replace('area = "01"', 'area = "none"').replace("H26.09", "unit"), encoding="utf-8")
    with pytest.raises(ValueError, match="needs an area"):
        Competence.read(own)


def test_the_command_prints_who_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["route", "--field", "Giao thông", "--area", "01", "--on", "2026-11-23", "--from", "G22", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["agency"], said["rules"][0]["id"], said["path"]) == ("H26", "local.province.2025", ["G22", "H26"])
    assert said["rules"][0]["basis"] == "law" and said["rules"][0]["legal_basis"]
    assert run(["route", "--field", "Lao động", "--to", "G07", "--on", "2026-11-23"]) == 1
    said_text = capsys.readouterr().out
    assert "a person chooses among G09, G03, G18, G01" in said_text and "the rules suggest G09" in said_text
    assert run(["route", "--field", "Giao thông", "--area", "Hà Nội"]) == 2
