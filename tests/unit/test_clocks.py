"""Clocks of sources: named when they are off, and never what anything is ordered or decided by."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus_events import NOON, Lane, directive, manifest
from histories import Past, past
from memory_ledger import MemoryLedger
from portalbus.schemas.codec import Decoded
from portalbus.schemas.models import Event
from portalbus.streams.judgement.clocks import REMEMBERED, ClockReading, ClockState, lead_ms, read_clock, remember
from portalbus.streams.judgement.docket import Item
from portalbus.streams.judgement.history import SourceState

HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("heartbeats", "newest_event", "state", "ahead"),
    [
        ([], 0, ClockState.UNKNOWN, None),
        ([], -5 * HOUR_MS, ClockState.UNKNOWN, None),  # delivered late, or a clock behind: nobody can tell
        ([], HOUR_MS, ClockState.AHEAD, HOUR_MS),  # nothing arrives before it was published
        ([-40, -35, -60], -5 * HOUR_MS, ClockState.RIGHT, -35),  # a backlog after an outage
        ([-600_000, -540_000, -480_000, -30], 0, ClockState.RIGHT, -30),  # heartbeats that an outage held up
        ([HOUR_MS - 900, HOUR_MS - 40], 0, ClockState.AHEAD, HOUR_MS - 40),
        ([-HOUR_MS - 900, -HOUR_MS - 40], 0, ClockState.BEHIND, -HOUR_MS - 40),
        ([-119_000], 0, ClockState.RIGHT, -119_000),
    ],
)
def test_the_heartbeat_that_arrived_soonest_tells_how_far_a_clock_is_off(
    heartbeats: list[int], newest_event: int, state: ClockState, ahead: int | None
) -> None:
    assert read_clock(heartbeats, newest_event) == ClockReading(state, ahead)


@given(
    st.integers(-10 * HOUR_MS, 10 * HOUR_MS),
    st.lists(st.integers(0, 90_000), min_size=1, max_size=30).filter(lambda delays: min(delays[-REMEMBERED:]) < 1_000),
)
def test_delays_hide_no_wrong_clock_and_make_no_right_one_look_wrong(error: int, delays: list[int]) -> None:
    leads: tuple[int, ...] = ()
    for delay in delays:
        leads = remember(leads, error - delay)
    state, ahead = read_clock(leads, 0)
    assert ahead is not None
    assert 0 <= error - ahead < 1_000
    if abs(error) > 121_000:
        assert state is (ClockState.AHEAD if error > 0 else ClockState.BEHIND)
    if abs(error) < 119_000:
        assert state is ClockState.RIGHT


def clock_of(source: SourceState) -> ClockReading:
    return read_clock(source.clock_leads, source.clock_offset_ms)


def test_a_source_that_delivers_a_backlog_after_an_outage_has_a_right_clock() -> None:
    ledger, lane = MemoryLedger(), Lane("H26")
    lane.put(manifest("H26", sent_at=NOON, delivered_sequence=0))
    for hour in range(20):  # published through the night, all delivered in the morning
        lane.say(directive(f"d-{hour}"), published_at=NOON + timedelta(hours=hour), after=timedelta(0))
    morning = NOON + timedelta(hours=20)
    lane.items = [
        Item(item.record._replace(timestamp_ms=round(morning.timestamp() * 1000)), item.content)
        if item.record.offset
        else item
        for item in lane.items
    ]
    ledger.take(*lane.items)
    source = ledger.source("H26")
    assert lead_ms(NOON, morning) == -20 * HOUR_MS
    assert clock_of(source).state is ClockState.RIGHT


def test_a_clock_that_was_corrected_is_right_after_as_many_heartbeats_as_are_remembered() -> None:
    ledger, lane = MemoryLedger(), Lane("H26")
    states = []
    for beat in range(2 * REMEMBERED):
        error = timedelta(hours=7) if beat < REMEMBERED else timedelta(0)  # local time taken for UTC
        lane.put(manifest("H26", sent_at=lane.now + error, delivered_sequence=0), after=timedelta(minutes=1))
        ledger.take(lane.items[-1])
        states.append(clock_of(ledger.source("H26")).state)
    assert states == [ClockState.AHEAD] * (2 * REMEMBERED - 1) + [ClockState.RIGHT]


# ---- nothing is ordered by a sender's clock ------------------------------------------------------------------------


def with_other_clocks(item: Item, random: Random) -> Item:
    """The same event, said by a source whose clock is anywhere between a month behind and a day ahead."""
    record, content = item
    if not isinstance(content, Decoded):
        return item
    head = content.event.envelope.model_copy(
        update={
            name: NOON + timedelta(seconds=random.uniform(-30 * 86_400, 86_000))
            for name in ("occurred_at", "published_at")
        }
    )
    return Item(record, replace(content, event=Event(head, content.event.payload)))


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.builds(past, st.randoms(use_true_random=False), st.integers(1, 60)), st.integers(0, 2**32))
def test_whatever_the_clocks_of_senders_say_every_decision_and_state_is_the_same(history: Past, seed: int) -> None:
    items = history.interleaved(Random(seed))
    random = Random(seed)
    ledgers = []
    for some in (items, [with_other_clocks(item, random) for item in items]):
        ledger = MemoryLedger()
        ledger.take_in_batches(some, range(0, len(some), 7))
        ledger.expire(NOON + timedelta(days=30))
        ledgers.append(ledger)
    one, two = ledgers
    assert [(e.agency, e.lane_offset, e.position, e.decision, e.key, e.received_at) for e in one.entries] == [
        (e.agency, e.lane_offset, e.position, e.decision, e.key, e.received_at) for e in two.entries
    ]
    assert (one.state(), one.titles, one.answers) == (two.state(), two.titles, two.answers)
    for name, source in one.history.sources.items():
        other = two.history.sources[name]
        assert (source.epoch, source.last_sequence, source.gaps, source.held, source.last_heard_at) == (
            other.epoch,
            other.last_sequence,
            other.gaps,
            other.held,
            other.last_heard_at,
        )
