"""The parking limit: a bad deployment is over it, one portal's garbage never is."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest

from portalbus.streams.ledger.parking_limit import Excess, ParkingLimit, ParkingStopped, Sample, excess

LIMIT = ParkingLimit()
COUNTRY = tuple(f"H{number:02}" for number in range(1, 41))


def history(records: Iterable[tuple[str, bool]]) -> list[Sample]:
    """Judged records (lane, parked) in ledger order."""
    offsets: dict[str, int] = {}
    samples = []
    for position, (agency, parked) in enumerate(records, start=1):
        offset = offsets[agency] = offsets.get(agency, -1) + 1
        samples.append(Sample(agency, offset, position, parked))
    return samples


def a_day(records: int, share: float, lanes: Iterable[str] = COUNTRY, seed: int = 1) -> list[tuple[str, bool]]:
    """So many records of these lanes, of which this share cannot be read."""
    random, lanes = Random(seed), tuple(lanes)
    return [(random.choice(lanes), random.random() < share) for _ in range(records)]


def test_nothing_is_over_an_empty_ledger() -> None:
    assert excess([], LIMIT) is None


@pytest.mark.parametrize("share", [0.0, 0.02, 0.1, 0.15])
def test_the_usual_share_of_broken_records_is_under_it(share: float) -> None:
    for seed in range(20):
        assert excess(history(a_day(2_000, share, seed=seed)), LIMIT) is None


@pytest.mark.parametrize("lanes", [3, 5, 40])
def test_a_bad_deployment_is_over_it_within_some_hundred_records(lanes: int) -> None:
    records = a_day(1_000, 0.01, COUNTRY[:lanes])
    for count in range(10, 310, 10):
        samples = history([*records, *a_day(count, 1.0, COUNTRY[:lanes], seed=2)])
        if excess(samples, LIMIT) is not None:
            break
    assert 50 <= count <= 120


def test_a_deployment_that_breaks_one_event_type_is_over_it_too() -> None:
    samples = history([*a_day(1_000, 0.01), *a_day(600, 0.4, seed=2)])
    found = excess(samples, LIMIT)
    assert isinstance(found, Excess)
    assert found.judged == 200
    assert found.parked > 50


@pytest.mark.parametrize("hostile", [1, 2])
def test_one_hostile_agency_or_two_are_never_over_it_however_much_they_send(hostile: int) -> None:
    for honest in (0, 1, 2, 10, 40):
        lanes = COUNTRY[hostile : hostile + honest]
        good = a_day(1_000, 0.01, lanes) if lanes else []
        flood = [(lane, True) for _ in range(5_000) for lane in COUNTRY[:hostile]]
        mixed = [*good[:500], *flood, *good[500:], *flood]
        assert excess(history(mixed), LIMIT) is None


def test_three_in_league_are_not_over_it_while_a_country_speaks() -> None:
    flood = [(lane, True) for _ in range(1_000) for lane in COUNTRY[:3]]
    assert excess(history([*a_day(1_000, 0.01), *flood]), LIMIT) is None


def test_it_can_be_switched_off() -> None:
    assert excess(history(a_day(1_000, 1.0)), ParkingLimit(share=1.0)) is None
    assert not ParkingLimit(share=1.0).on


def test_what_stopped_it_says_how_to_go_on() -> None:
    assert "portalbus parked allow" in str(ParkingStopped(Excess(60, 200, 12)))
