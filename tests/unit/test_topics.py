"""The names of lanes and verdict topics, from a code and back."""

from __future__ import annotations

import pytest

from portalbus.schemas.topics import agency_of, is_lane, lane_of, verdicts_of


@pytest.mark.parametrize(
    ("code", "lane"), [("H26", "lane.H26"), ("h26", "lane.H26"), ("H26.01", "lane.H26.01"), ("00.00.H49", "lane.H49")]
)
def test_a_lane_is_named_by_the_present_form_of_the_code(code: str, lane: str) -> None:
    assert lane_of(code) == lane
    assert verdicts_of(code) == lane.replace("lane", "verdict")


@pytest.mark.parametrize("code", ["H26", "G22", "H26.01"])
def test_the_agency_of_a_lane_is_in_its_name(code: str) -> None:
    assert agency_of(lane_of(code)) == code


@pytest.mark.parametrize("topic", ["verdict.H26", "central.directive-published", "lanes.H26", ""])
def test_another_topic_belongs_to_no_agency(topic: str) -> None:
    with pytest.raises(ValueError, match="is not a lane"):
        agency_of(topic)


@pytest.mark.parametrize("topic", ["lane.h26", "lane.", "lane.H2", "verdict.H26", "xlane.H26", "lane.H26 "])
def test_only_a_code_in_its_present_form_makes_a_lane(topic: str) -> None:
    assert is_lane("lane.H26")
    assert is_lane("lane.H26.01")
    assert not is_lane(topic)
