"""The scenarios of the conformance kit are sound: each can be lived, names its rules rightly, and is told in three
languages.
"""

from __future__ import annotations

import tomllib
from importlib.resources import files

import pytest
from pydantic import ValidationError

from portalbus.connectors.conformance.making import Maker
from portalbus.connectors.conformance.scenario import (
    ALL,
    Publish,
    PublishTogether,
    Scenario,
    edition,
    scenarios,
)
from portalbus.connectors.gateway.problems import own_problems
from portalbus.schemas.catalogue import catalogue
from portalbus.schemas.models import DirectivePublished

RULES = {*catalogue(), *own_problems()}


def made(scenario: Scenario, run: str = "abc123") -> Maker:
    maker = Maker(scenario, run, "H26")
    for step in scenario.step:
        if isinstance(step, Publish):
            maker.make(step)
        elif isinstance(step, PublishTogether):
            maker.make_together(step)
    return maker


def test_every_file_is_a_scenario_under_its_own_name() -> None:
    names = [
        entry.name.removesuffix(".toml").split("-", 1)[1]
        for entry in files("portalbus.connectors.conformance").joinpath("scenarios").iterdir()
    ]
    assert sorted(names) == sorted(scenario.id for scenario in scenarios())
    assert len(set(names)) == len(names) >= 20
    assert len(edition()) == 64


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda scenario: scenario.id)
def test_a_scenario_expects_what_it_says_and_nothing_else(scenario: Scenario) -> None:
    maker = made(scenario)
    arrives = set(maker.said) if scenario.arrives == ALL else set(scenario.arrives)
    assert arrives and arrives | set(scenario.refused) == set(maker.said)
    assert not arrives & set(scenario.refused)
    for ref in arrives:
        assert maker.said[ref].payload is not None, f"{ref} has to arrive, and breaks the contract"
        assert maker.said[ref].agency == "H26"
    for ref, rules in scenario.refused.items():
        assert rules and set(rules) <= RULES, ref
    for said in maker.said.values():
        assert all(maker.mark in str(said.data.get(name, maker.mark)) for name in ("directive_id", "case_id")) or (
            said.ref == "wrong-id"
        )
    for texts in (scenario.title, scenario.why):
        assert len({texts.vi, texts.en, texts.zh}) == 3


def test_the_same_ref_is_the_same_thing_and_another_run_says_others() -> None:
    scenario = next(one for one in scenarios() if one.id == "same-change-twice")
    first, second = made(scenario), made(scenario, "def456")
    assert len(first.said) == 1
    assert first.said["directive"].reference != second.said["directive"].reference
    assert first.said["directive"].place != second.said["directive"].place


def test_values_are_made_as_the_file_says() -> None:
    scenario = next(one for one in scenarios() if one.id == "composed-text")
    decomposed = made(scenario).said["decomposed"]
    title = decomposed.data["title"]
    assert "\u0309" in title
    assert isinstance(decomposed.payload, DirectivePublished)
    assert decomposed.payload.title != title
    assert "\u0309" not in decomposed.payload.title
    large = made(next(one for one in scenarios() if one.id == "text-too-large")).said["large"]
    assert len(large.data["body"]) == 2**20


def test_a_mistake_in_a_file_is_told_with_its_place() -> None:
    text = """
        id = "broken"
        title = { vi = "a", en = "b", zh = "c" }
        why = { vi = "a", en = "b", zh = "c" }
        [[step]]
        do = "disturb"
        how = "earthquake"
        """
    with pytest.raises(ValidationError, match=r"step\.0\.disturb\.how"):
        Scenario.model_validate(tomllib.loads(text))
