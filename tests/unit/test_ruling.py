"""What the rules of competence decide by themselves: one other body, by a rule that one may rely on, or nothing."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from portalbus.schemas.case_rules import is_reason
from portalbus.schemas.directory import AgencyDirectory
from portalbus.schemas.facts import facts_now
from portalbus.schemas.law.competence import Competence
from portalbus.schemas.law.limits import Limits
from portalbus.schemas.law.routing import Matter
from portalbus.schemas.law.ruling import Left, Ruling, reason, rule

DIRECTORY = AgencyDirectory.read()
COMPETENCE = Competence.read()
LIMITS = Limits.read()
TODAY = date(2026, 11, 23)
BEFORE_MERGERS = date(2025, 2, 28)


def ruling(
    field: str = "",
    area: str | None = None,
    on: date = TODAY,
    *,
    received_by: str = "G22",
    competence: Competence = COMPETENCE,
    limits: Limits = LIMITS,
) -> Ruling:
    return rule(Matter(field, area, on, received_by=received_by), TODAY, competence, DIRECTORY, limits)


@pytest.mark.parametrize(
    ("field", "area", "on", "to", "by"),
    [
        ("Giao thông", "01", TODAY, "H26", "local.province.2025"),
        ("", "04", TODAY, "H14", "local.province.2025"),
        ("Giao thông", None, TODAY, "G17", "ministry.construction.2025"),
        ("Giao thông", None, BEFORE_MERGERS, "G17", "ministry.transport.2022"),
    ],
)
def test_one_other_body_has_the_case_by_the_rule_of_its_day(
    field: str, area: str | None, on: date, to: str, by: str
) -> None:
    found = ruling(field, area, on)
    assert (found.to, found.left, [one.id for one in found.routing.rules]) == (to, None, [by])


@pytest.mark.parametrize(
    ("field", "area", "on", "left", "candidates"),
    [
        ("An sinh xã hội", None, TODAY, Left.SEVERAL, {"G09", "G18"}),
        ("Lao động", None, BEFORE_MERGERS, Left.SEVERAL, {"G01", "G03", "G09", "G18"}),
        ("Thiên văn", None, TODAY, Left.NO_BODY, set[str]()),
        ("Giao thông", "98", TODAY, Left.NO_BODY, set[str]()),
    ],
)
def test_several_bodies_or_none_are_a_persons_choice(
    field: str, area: str | None, on: date, left: Left, candidates: set[str]
) -> None:
    found = ruling(field, area, on)
    assert (found.to, found.left, set(found.candidates)) == (None, left, candidates)
    assert found.needs_person


def test_what_the_government_portal_handles_itself_stays_there_and_waits_for_no_decision() -> None:
    found = ruling("Chỉ đạo, điều hành")
    assert (found.to, found.left, found.needs_person) == (None, Left.OWN, False)


def test_a_body_that_sent_the_case_to_the_centre_does_not_get_it_back_by_a_rule() -> None:
    assert ruling("Giao thông", "01", received_by="H26.05").left is Left.CAME_FROM
    assert ruling("Giao thông", "01", received_by="H29").to == "H26"


UNSURE = """
[[rule]]
id = "own.stars"
fields = ["Thiên văn"]
area = "none"
level = "L1"
handler = "G06"
valid_from = 2026-01-01
basis = "house"
legal_basis = "a proposal"
confidence = "{}"
"""
STRICT = """
[[limit]]
id = "rule-confidence.2027"
name = "rule-confidence"
value = {}
valid_from = {}
"""


@pytest.mark.parametrize(("confidence", "to"), [("high", "G06"), ("medium", "G06"), ("low", None), ("perhaps", None)])
def test_a_rule_that_nobody_is_sure_of_suggests_and_decides_nothing(
    tmp_path: Path, confidence: str, to: str | None
) -> None:
    own = tmp_path / "competence.toml"
    own.write_text(UNSURE.format(confidence), encoding="utf-8")
    found = ruling("Thiên văn", competence=Competence.read(own))
    assert (found.to, found.candidates) == (to, ("G06",))
    assert found.left is (None if to else Left.UNSURE)


@pytest.mark.parametrize(("value", "day", "to"), [(3, TODAY, None), (4, TODAY, None), (3, date(2027, 1, 1), "H26")])
def test_an_installation_says_from_when_on_how_sure_a_rule_has_to_be(
    tmp_path: Path, value: int, day: date, to: str | None
) -> None:
    own = tmp_path / "limits.toml"
    own.write_text(STRICT.format(value, day), encoding="utf-8")
    assert ruling("Giao thông", "01", limits=Limits.read(own)).to == to


def test_what_is_not_judged_by_is_not_told_to_workers_of_an_older_version() -> None:
    assert {row["name"] for row in LIMITS.told} == {"transfers", "reason-characters"}


def test_the_reason_names_the_rule_its_basis_and_what_it_saw() -> None:
    matter = Matter("Giao thông", "01", TODAY, received_by="G22")
    said = reason(ruling("Giao thông", "01"), matter)
    for part in ("H26", "local.province.2025", "cấp L1", "72/2025/QH15", "Giao thông", "địa bàn 01", "23/11/2026"):
        assert part in said, part
    assert is_reason(said, facts_now())
    assert "không nêu lĩnh vực" in reason(ruling("", "01"), Matter("", "01", TODAY))
