"""The catalogue turns a rule id and what the rule saw into words."""

from __future__ import annotations

import pytest

from portalbus.schemas import errors
from portalbus.schemas.catalogue import catalogue
from portalbus.schemas.errors import EventRefused, PortalbusError, UndecodableRecord
from portalbus.schemas.findings import Finding


def test_a_message_is_filled_with_what_the_rule_saw_in_three_languages() -> None:
    texts = catalogue()["agency.unknown"].message({"code": "H99"})
    assert (texts.vi, texts.en, texts.zh) == (
        "Không có cơ quan nào mang mã H99.",
        "No agency has the code H99.",
        "没有代码为 H99 的机构。",
    )


def test_a_place_that_nothing_fills_is_left_open_and_never_fails() -> None:
    assert catalogue()["agency.unknown"].message({}).en == "No agency has the code …."


def test_what_fills_a_place_is_not_read_as_a_place_itself() -> None:
    assert "{secret}" in catalogue()["agency.unknown"].message({"code": "{secret}"}).en


def test_a_rule_without_advice_has_none() -> None:
    assert catalogue()["event.accepted"].mend({}) is None
    assert Finding("event.accepted").mend is None


def test_a_legal_rule_names_its_basis() -> None:
    assert catalogue()["refusal.needs-reason-code"].legal_basis == "Decree 137/2024/NĐ-CP"


def test_a_refused_event_carries_every_finding_and_names_the_first() -> None:
    refused = EventRefused([Finding("directive.body-empty", "/body"), Finding("text.not-nfc", "/title")])
    assert refused.rule == "directive.body-empty"
    assert len(refused.findings) == 2
    assert "at /body" in str(refused) and "at /title" in str(refused)


def test_every_error_is_one_of_ours_and_stands_in_the_tree() -> None:
    classes = [item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, Exception)]
    assert len(classes) > 8
    for cls in classes:
        assert issubclass(cls, PortalbusError)
        assert cls.__name__ in (errors.__doc__ or "")
        assert cls.__doc__


@pytest.mark.parametrize("rule", ["record.empty", "record.trailing-bytes"])
def test_an_undecodable_record_names_its_rule(rule: str) -> None:
    assert rule in catalogue()
    assert str(UndecodableRecord(rule, "detail")) == f"{rule}: detail"
