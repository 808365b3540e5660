"""Random lives of cases over several lanes: no case is ever without an owner or with two, or passed around, no step is
illegal, no deadline is missed without an escalation, and no answer is returned that was shown."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus_events import Lane
from case_lives import AGENCIES, check_clocks, check_lives, check_shown, check_stages, random_life
from memory_ledger import MemoryLedger

SEEDS = st.integers(0, 2**48)
FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
MANY = settings(FEW, max_examples=2_000, database=None)
CASES = 5
"""Lives an example: 60 examples are 300 lives, 2,000 are 10,000."""


def live(seed: int) -> None:
    """Some lives at once, interleaved and judged in batches of any size."""
    random = Random(seed)
    lanes = {agency: Lane(agency) for agency in AGENCIES}
    names = [f"{random.choice(AGENCIES)}-{number:04d}" for number in range(CASES)]
    for number, name in enumerate(names):
        random_life(random, name, number, lanes, random.randint(3, 25))
    left = {agency: list(lane.items) for agency, lane in lanes.items() if lane.items}
    items = []
    while left:
        agency = random.choice(sorted(left))
        items.append(left[agency].pop(0))
        if not left[agency]:
            del left[agency]
    ledger = MemoryLedger()
    ledger.take_in_batches(items, [random.randrange(len(items)) for _ in range(5)])
    check_lives(ledger, items)
    check_stages(ledger, items)
    check_clocks(ledger, items, max(lane.now for lane in lanes.values()) + timedelta(days=random.randint(0, 90)))
    check_shown(ledger, items)


@FEW
@given(SEEDS)
def test_every_case_has_one_owner_whatever_is_said_of_it(seed: int) -> None:
    live(seed)


@pytest.mark.chaos
@MANY
@given(SEEDS)
def test_ten_thousand_cases_have_one_owner_each(seed: int) -> None:
    live(seed)
