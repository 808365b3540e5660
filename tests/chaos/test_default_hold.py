"""How long later events wait behind a missing one that nobody sends, with the bound that a worker has by default."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bus_events import directive, envelope, value_of
from ledger_facts import assert_sound, one, rows
from portalbus.infra.stack import Endpoints
from portalbus.schemas.models import Event
from promises import promised
from whole_bus import Bus

AGENCY = "H26"
LEAST_S, MOST_S = 25.0, 31.5
"""The bound by the clock of the lane, and with the seconds until a quiet lane is known to be quiet, and one look."""
WAITED = "select extract(epoch from judged_at - received_at)::float8 from ledger.event where sequence > 2"


@pytest.fixture
def bus(endpoints: Endpoints, tmp_path: Path) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path, [AGENCY]).open()
    yield bus
    bus.close()


@pytest.mark.chaos
def test_by_default_later_events_of_a_source_go_on_after_half_a_minute_while_the_gap_stays_listed(bus: Bus) -> None:
    bus.start_worker()
    for number in (1, 3, 4):
        event = Event(envelope(number, AGENCY, number), directive(f"d-{number}"))
        bus.publish(AGENCY, [(event.key.encode(), value_of(event, bus.schema_ids))])
    accepted = "select count(*) from ledger.event where rule = 'event.accepted'"
    bus.wait_until(lambda: one(bus.look, accepted) == 3, "time is up", within=90)
    waited = [seconds for (seconds,) in rows(bus.look, WAITED)]
    print(f"\nheld for {min(waited):.1f} to {max(waited):.1f} s by the clocks of lane and ledger")
    with promised():
        assert min(waited) >= LEAST_S
        assert rows(bus.look, "select first, last, state from ledger.gap") == [(2, 2, "open")]
    assert_sound(bus.look)
    assert max(waited) <= MOST_S
