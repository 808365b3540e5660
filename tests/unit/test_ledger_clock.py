"""The time of the ledger: counted on from what the database said, and compared with the other clocks of the centre."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from portalbus.streams.ledger.clock import LedgerClock, read_centre_clocks

NOON = datetime(2026, 11, 20, 5, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_time_goes_on_from_what_the_database_last_said() -> None:
    passed = [100.0]
    clock = LedgerClock(lambda: passed[0])
    clock.seen(NOON)
    passed[0] += 2.5
    assert clock.now() == NOON + 2.5 * SECOND
    clock.seen(NOON + SECOND)
    assert clock.now() == NOON + SECOND, "what it says now counts, also when its clock was put back"


def test_nobody_guesses_the_time_before_the_database_was_asked() -> None:
    with pytest.raises(LookupError):
        LedgerClock().now()


@pytest.mark.parametrize(
    ("machine", "delays", "said"),
    [
        (0, [0.2, 9.0], []),
        (1, [-1.5, 3.0], []),
        (3_600, [0.2], ["the clock of this machine is 3600.0 s ahead of the database's"]),
        (-5, [0.2], ["the clock of this machine is 4.0 s behind the database's"]),
        (0, [-4.0, 60.0], ["the database's clock is 4.0 s behind the broker's, or nothing was judged sooner"]),
        (0, [7.0, 60.0], ["the database's clock is 7.0 s ahead of the broker's, or nothing was judged sooner"]),
        (0, [], []),
    ],
)
def test_clocks_that_disagree_by_more_than_two_seconds_are_named(
    machine: float, delays: list[float], said: list[str]
) -> None:
    asked = NOON + machine * SECOND
    assert read_centre_clocks(asked, NOON, asked + SECOND, [delay * SECOND for delay in delays]) == said
