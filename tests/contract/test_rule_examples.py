"""Every rule of the catalogue is run on an example to which it applies and on one to which it does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from portalbus.infra.docs.rule_examples import example_of, stories
from portalbus.infra.docs.storytelling import Teller
from portalbus.schemas import example_files, rules
from portalbus.schemas.catalogue import catalogue
from portalbus.schemas.directory import AgencyDirectory
from portalbus.schemas.facts import VIET_NAM, Facts

BY_LAW = sorted(rule.id for rule in catalogue().values() if rule.legal_basis)


@pytest.mark.parametrize("rule", sorted(catalogue()))
def test_a_rule_applies_to_its_first_example_and_not_to_its_second(rule: str) -> None:
    example = example_of(rule)
    assert example.applies[-1].rule == rule, [(line.what, line.rule) for line in example.applies]
    assert example.otherwise[-1].rule == example.gives, [(line.what, line.rule) for line in example.otherwise]
    assert example.gives != rule


def test_every_story_is_of_a_rule_that_no_event_breaks_by_itself() -> None:
    by_themselves = {example.rule for example in example_files.invalid()}
    assert set(stories()) <= set(catalogue())
    assert not set(stories()) & by_themselves


def test_a_story_is_told_alike_every_time() -> None:
    steps = stories()["case.too-many-transfers"]["applies"]
    assert Teller().tell(steps) == Teller().tell(steps)


def test_a_step_that_says_nothing_is_an_error() -> None:
    with pytest.raises(KeyError, match="a step needs one of"):
        Teller().tell([{"lane": "H26"}])


def test_a_rule_that_stands_on_law_has_its_days_and_only_such_a_rule() -> None:
    assert BY_LAW
    for rule in catalogue().values():
        assert (rule.valid_from is not None) == (rule.legal_basis is not None), rule.id
        assert rule.valid_to is None or (rule.valid_from is not None and rule.valid_from <= rule.valid_to)


@pytest.mark.parametrize("rule", BY_LAW)
def test_a_rule_holds_from_its_first_day_to_its_last_by_the_clock_of_the_lane(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = date(2026, 11, 23)
    dated = replace(catalogue()[rule], valid_from=day, valid_to=day + timedelta(days=1))
    changed = {**catalogue(), rule: dated}
    monkeypatch.setattr(rules, "catalogue", lambda: changed)
    broken = next(example for example in example_files.invalid() if example.rule == rule).event()

    def told(on: int, hour: int, minute: int) -> set[str]:
        now = datetime(2026, 11, on, hour, minute, tzinfo=VIET_NAM).astimezone(UTC)
        return {finding.rule for finding in rules.findings(broken, Facts(AgencyDirectory.read(), now))}

    assert rule not in told(22, 23, 59)
    assert rule in told(23, 0, 0)
    assert rule in told(24, 23, 59)
    assert rule not in told(25, 0, 0)
