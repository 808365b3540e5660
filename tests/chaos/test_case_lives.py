"""Random lives of cases over several lanes: no case is ever without an owner or with two, or passed around, no step is
illegal, no deadline is missed without an escalation, and no answer is returned that was shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus_events import Lane
from case_lives import AGENCIES, check_clocks, check_lives, check_shown, check_stages, random_life
from memory_ledger import MemoryLedger

CHOICES = st.randoms(use_true_random=False)
"""Where every choice comes from: hypothesis makes them, so that it can take them back when it shrinks."""
FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
MANY = settings(FEW, max_examples=2_000, database=None)
MISHAPS = 0.12
"""The share of events that come twice, or are lost and sent again later."""
CASES = 5
"""Lives an example: 60 examples are 300 lives, 2,000 are 10,000."""
LIVED: Counter[str] = Counter()
"""What the lives of a test held."""


@pytest.fixture(autouse=True)
def _figures() -> Iterator[None]:
    """Prints at the end of each test what was tried in it."""
    LIVED.clear()
    yield
    print("\n" + ", ".join(f"{count} {what}" for what, count in LIVED.items()))


def live(random: Random) -> None:
    """Some lives at once, interleaved and judged in batches of any size."""
    lanes = {agency: Lane(agency) for agency in AGENCIES}
    names = [f"{random.choice(AGENCIES)}-{number:04d}" for number in range(CASES)]
    for number, name in enumerate(names):
        random_life(random, name, number, lanes, random.randint(3, 25), MISHAPS)
    left = {agency: list(lane.items) for agency, lane in lanes.items() if lane.items}
    items = []
    while left:
        agency = random.choice(sorted(left))
        items.append(left[agency].pop(0))
        if not left[agency]:
            del left[agency]
    ledger = MemoryLedger()
    ledger.take_in_batches(items, [random.randrange(len(items)) for _ in range(5)])
    rules = Counter(entry.decision.rule for entry in ledger.entries)
    LIVED["lives"] += len(names)
    LIVED["records"] += len(items)
    LIVED["of them repetitions"] += rules["event.duplicate"]
    LIVED["accepted"] += rules["event.accepted"]
    LIVED["cases passed on"] += sum(len(case.owners) > 1 for case in ledger.history.cases.values())
    check_lives(ledger, items)
    check_stages(ledger, items)
    check_clocks(ledger, items, max(lane.now for lane in lanes.values()) + timedelta(days=random.randint(0, 90)))
    check_shown(ledger, items)


@FEW
@given(CHOICES)
def test_every_case_has_one_owner_whatever_is_said_of_it(random: Random) -> None:
    live(random)


@pytest.mark.chaos
@MANY
@given(CHOICES)
def test_ten_thousand_cases_have_one_owner_each(random: Random) -> None:
    live(random)
