"""Gaps in the order of a source: asked for, held behind for a bound, healed in their place, never passed over."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime, timedelta
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus_events import NOON, Lane, content_of, directive, envelope, manifest, receipt
from memory_ledger import MemoryLedger
from portalbus.schemas.models import Event
from portalbus.schemas.notices import ResendRequested
from portalbus.streams.judgement.bounds import Bounds
from portalbus.streams.judgement.docket import Entry, Item, Unreadable
from portalbus.streams.judgement.gaps import GapState
from portalbus.streams.judgement.history import History
from portalbus.streams.judgement.holding import may_go_on
from portalbus.streams.ledger.fetching import heard_of

HOLD = Bounds().gap_hold
HELD = "source.waits-for-gap"
ACCEPTED = "event.accepted"
BROKEN = Unreadable("record.not-avro", "no Avro")
MANY = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


@pytest.fixture
def h26() -> Lane:
    return Lane("H26")


def rules(ledger: MemoryLedger, lane: Lane) -> list[str]:
    """The rule that decided last on each record of a lane, in lane order."""
    verdicts = ledger.verdicts()
    return [verdicts[lane.agency, item.record.offset][-1] for item in lane.items if item.record.offset in heard(ledger)]


def heard(ledger: MemoryLedger) -> set[int]:
    """The offsets that have an entry."""
    return {entry.lane_offset for entry in ledger.entries}


def asked(ledger: MemoryLedger) -> list[tuple[int, int, int]]:
    """Epoch, first and last of everything that was asked for."""
    records = [notice.record for notice in ledger.notices]
    return [(r.epoch, r.first, r.last) for r in records if isinstance(r, ResendRequested)]


def applied(ledger: MemoryLedger) -> list[str]:
    """The directives that were accepted, in ledger order."""
    return [entry.key or "" for entry in ledger.entries if entry.decision.rule == ACCEPTED]


def test_an_event_beyond_the_next_is_held_and_what_is_missing_is_asked_for_at_once(
    ledger: MemoryLedger, h26: Lane
) -> None:
    ledger.take(h26.say(directive()), h26.say(directive("d-5"), sequence=5))
    assert rules(ledger, h26) == [ACCEPTED, HELD]
    assert ledger.entries[-1].decision.params == {"first": "2", "last": "4"}
    assert not ledger.entries[-1].decision.final
    assert ledger.gaps("H26") == {(1, 2): 4}
    (notice,) = ledger.notices
    assert (notice.topic, notice.key) == ("verdict.H26", "H26/www")
    assert notice.record == ResendRequested(
        agency="H26", portal="www", epoch=1, first=2, last=4, reason=HELD, requested_at=h26.now
    )


def test_everything_behind_a_gap_is_held_and_nothing_of_another_source_or_lane(ledger: MemoryLedger, h26: Lane) -> None:
    g22 = Lane("G22")
    ledger.take(h26.say(directive("d-2"), sequence=2), h26.say(directive("d-3")), h26.say(receipt()))
    ledger.take(h26.say(directive("e-1"), portal="edu"), g22.say(directive()))
    assert rules(ledger, h26) == [HELD, HELD, HELD, ACCEPTED]
    assert ledger.verdicts()["G22", 0] == [ACCEPTED]
    assert asked(ledger) == [(1, 1, 1)], "once for the gap, not for each event behind it"
    assert ledger.source("H26").held == 3
    assert ledger.source("H26", "edu").held == 0


def test_the_missing_event_takes_effect_first_and_releases_the_held_ones_in_order(
    ledger: MemoryLedger, h26: Lane
) -> None:
    ledger.take(h26.say(directive("d-3"), sequence=3), h26.say(directive("d-4")))
    entries = ledger.take(h26.say(directive("d-1"), sequence=1), h26.say(directive("d-2"), sequence=2))
    assert [(entry.key, entry.fresh) for entry in entries] == [
        ("H26/d-1", True),
        ("H26/d-2", True),
        ("H26/d-3", False),
        ("H26/d-4", False),
    ]
    assert ledger.gaps("H26") == {}
    assert (ledger.source("H26").held, ledger.history.held["H26", "www"]) == (0, [])


def test_a_missing_event_waits_for_those_missing_before_it(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive("d-4"), sequence=4))
    ledger.take(h26.say(directive("d-2"), sequence=2))
    assert rules(ledger, h26) == [HELD, HELD]
    ledger.take(h26.say(directive("d-1"), sequence=1))
    assert applied(ledger) == ["H26/d-1", "H26/d-2"]
    ledger.take(h26.say(directive("d-3"), sequence=3))
    assert applied(ledger) == ["H26/d-1", "H26/d-2", "H26/d-3", "H26/d-4"]
    assert asked(ledger) == [(1, 1, 3)]


def test_an_event_that_breaks_a_rule_of_its_own_is_refused_without_waiting_and_still_fills_its_place(
    ledger: MemoryLedger, h26: Lane
) -> None:
    ledger.take(h26.say(directive(document_type="NO"), sequence=2), h26.say(directive("d-3")))
    assert rules(ledger, h26) == ["directive.type-unknown", HELD]
    ledger.take(h26.say(directive(document_type="NO"), sequence=1))
    assert rules(ledger, h26) == ["directive.type-unknown", ACCEPTED, "directive.type-unknown"]


def test_a_held_event_sent_again_is_a_duplicate(ledger: MemoryLedger, h26: Lane) -> None:
    item = h26.say(directive("d-2"), sequence=2)
    ledger.take(item, h26.again(item))
    assert rules(ledger, h26) == [HELD, "event.duplicate"]


def test_a_held_event_may_go_on_to_wait_for_its_own_cause(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive("d-9", 2), sequence=2))
    ledger.take(h26.say(directive("d-1"), sequence=1))
    assert ledger.verdicts()["H26", 0] == [HELD, "directive.waits-for-version"]
    ledger.take(h26.say(directive("d-9", 1), sequence=3))
    assert ledger.verdicts()["H26", 0] == [HELD, "directive.waits-for-version", ACCEPTED]


@pytest.mark.parametrize("portal", ["www", "edu"])
def test_a_hold_is_over_for_the_first_later_record_of_the_lane_whoever_says_it(
    ledger: MemoryLedger, h26: Lane, portal: str
) -> None:
    ledger.take(h26.say(directive("d-3"), sequence=3))
    ledger.take(h26.say(directive("e-1"), sequence=1, portal="edu", after=HOLD))
    assert applied(ledger) == ["H26/e-1"]
    ledger.take(h26.say(directive("d-4"), portal=portal, sequence=4 if portal == "www" else 2))
    assert applied(ledger) == ["H26/e-1", "H26/d-3", "H26/d-4"]
    assert ledger.gaps("H26") == {(1, 1): 2}, "still missing"
    assert ledger.source("H26").gaps[1, 1].state is GapState.OPEN


def test_a_missing_event_that_comes_after_the_hold_is_applied_in_its_place(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive("d-3"), sequence=3), h26.say(directive("d-4"), after=HOLD * 2))
    ledger.take(h26.say(directive("d-2"), sequence=2))
    assert ledger.gaps("H26") == {(1, 1): 1}
    ledger.take(h26.say(directive("d-1"), sequence=1), h26.say(directive("again"), sequence=1))
    assert rules(ledger, h26) == [ACCEPTED, ACCEPTED, ACCEPTED, ACCEPTED, "source.sequence-reused"]
    assert ledger.gaps("H26") == {}


def test_a_hold_ends_without_a_record_when_the_lane_was_heard_beyond_it(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive("d-2"), sequence=2), h26.say(directive("d-3")))
    assert ledger.pass_time("H26", NOON + HOLD) == []
    assert ledger.pass_time("G22", NOON + HOLD * 2) == []
    entries = ledger.pass_time("H26", NOON + HOLD * 2)
    assert [(entry.key, entry.fresh) for entry in entries] == [("H26/d-2", False), ("H26/d-3", False)]
    assert ledger.gaps("H26") == {(1, 1): 1}
    assert ledger.pass_time("H26", NOON + HOLD * 3) == []


def test_two_gaps_hold_each_for_their_own_time(ledger: MemoryLedger, h26: Lane) -> None:
    second = timedelta(seconds=1)
    ledger.take(h26.say(directive("d-2"), sequence=2), h26.say(directive("d-4"), sequence=4, after=10 * second))
    ledger.pass_time("H26", NOON + HOLD + second)
    assert applied(ledger) == ["H26/d-2"]
    ledger.pass_time("H26", NOON + HOLD + 11 * second)
    assert applied(ledger) == ["H26/d-2", "H26/d-4"]


def test_a_new_epoch_lets_the_old_ones_events_go_on_first_and_what_is_missing_is_gone(
    ledger: MemoryLedger, h26: Lane
) -> None:
    ledger.take(h26.say(directive("old"), sequence=2))
    ledger.take(h26.say(directive("new"), epoch=2))
    assert applied(ledger) == ["H26/old", "H26/new"]
    gap = ledger.source("H26").gaps[1, 1]
    assert (gap.state, gap.hold_until, gap.ask_at) == (GapState.GONE, None, None)
    ledger.take(h26.say(directive("late"), epoch=1, sequence=1))
    assert rules(ledger, h26)[-1] == ACCEPTED, "it is applied all the same"
    assert ledger.gaps("H26") == {}


def test_a_new_epoch_that_does_not_begin_at_one_opens_a_gap(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive()), h26.say(directive("d-2"), epoch=4, sequence=3))
    assert (ledger.gaps("H26"), rules(ledger, h26)[-1]) == ({(4, 1): 2}, HELD)


def test_a_manifest_shows_that_the_last_events_are_missing(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive()))
    ledger.take(h26.put(manifest("H26", last_sequence=4, delivered_sequence=3)))
    assert (ledger.gaps("H26"), asked(ledger)) == ({(1, 2): 3}, [(1, 2, 3)])
    ledger.take(h26.say(directive("d-4"), sequence=4))
    assert rules(ledger, h26)[-1] == HELD
    ledger.take(h26.put(manifest("H26", last_sequence=4, delivered_sequence=4)))
    assert len(asked(ledger)) == 1


def test_a_manifest_that_no_longer_has_the_missing_events_ends_the_hold_and_the_asking(
    ledger: MemoryLedger, h26: Lane
) -> None:
    ledger.take(h26.say(directive("d-5"), sequence=5))
    ledger.take(h26.put(manifest("H26", first_sequence=3, last_sequence=5, delivered_sequence=5)))
    gone, still = ledger.source("H26").gaps[1, 1], ledger.source("H26").gaps[1, 3]
    assert (gone.last, gone.state, gone.ask_at) == (2, GapState.GONE, None)
    assert (still.last, still.state) == (4, GapState.OPEN)
    assert rules(ledger, h26) == [HELD]
    ledger.take(h26.say(directive("d-3"), sequence=3), h26.say(directive("d-4"), sequence=4))
    assert applied(ledger) == ["H26/d-3", "H26/d-4", "H26/d-5"]


@pytest.mark.parametrize("bounds", [Bounds(held_per_source=3), Bounds(held_bytes_per_source=500)])
def test_a_source_that_floods_behind_a_gap_is_held_no_longer(h26: Lane, bounds: Bounds) -> None:
    ledger = MemoryLedger(bounds=bounds)
    items = [h26.say(directive(f"d-{sequence}"), sequence=sequence) for sequence in range(2, 7)]
    ledger.take_in_batches(items, [2])
    assert applied(ledger) == [f"H26/d-{sequence}" for sequence in range(2, 7)]
    source = ledger.source("H26")
    assert (source.held, source.held_bytes, ledger.gaps("H26")) == (0, 0, {(1, 1): 1})


def test_a_hold_of_no_time_holds_nothing(h26: Lane) -> None:
    ledger = MemoryLedger(bounds=Bounds(gap_hold=timedelta(0)))
    ledger.take(h26.say(directive("d-2"), sequence=2), h26.say(directive("d-4"), sequence=4))
    assert rules(ledger, h26) == [ACCEPTED, ACCEPTED]
    assert (ledger.gaps("H26"), asked(ledger)) == ({(1, 1): 1, (1, 3): 3}, [(1, 1, 1), (1, 3, 3)])


def skip_every_other(ledger: MemoryLedger, lane: Lane, last: int = 599) -> None:
    """Of a source's sequences up to the last one only the odd ones come."""
    ledger.take_in_batches([lane.say(directive(f"d-{n}"), sequence=n) for n in range(1, last + 1, 2)])


def test_each_gap_of_a_source_that_skips_every_other_sequence_is_listed_and_asked_for(
    ledger: MemoryLedger, h26: Lane
) -> None:
    skip_every_other(ledger, h26)
    assert ledger.gaps("H26") == {(1, n): n for n in range(2, 600, 2)}
    assert asked(ledger) == [(1, n, n) for n in range(2, 600, 2)]
    ledger.pass_time("H26", NOON + HOLD * 2)
    ledger.take_in_batches([h26.say(directive(f"d-{n}"), sequence=n) for n in range(2, 600, 2)])
    assert (ledger.gaps("H26"), set(rules(ledger, h26))) == ({}, {ACCEPTED})


def test_copies_of_what_has_come_use_up_no_place_of_what_is_missing(ledger: MemoryLedger, h26: Lane) -> None:
    skip_every_other(ledger, h26)
    ledger.take_in_batches([h26.again(item) for item in list(h26.items) for _ in range(3)])
    ledger.take_in_batches([h26.say(directive(f"d-{n}"), sequence=n) for n in range(2, 600, 2)])
    assert sorted(applied(ledger)) == sorted(f"H26/d-{n}" for n in range(1, 600))
    assert ledger.gaps("H26") == {}


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "batch by batch"])
def test_what_an_outbox_still_has_and_a_manifest_that_the_rest_is_gone_strand_nobody(
    ledger: MemoryLedger, h26: Lane, together: bool
) -> None:
    skip_every_other(ledger, h26)
    answers = [
        h26.say(directive("beyond"), sequence=603),
        h26.say(directive("d-598"), sequence=598),
        h26.put(manifest("H26", first_sequence=598, last_sequence=603, delivered_sequence=603)),
        *(h26.say(directive(f"d-{n}"), sequence=n) for n in range(600, 603)),
    ]
    if together:
        ledger.take(*answers)
    else:
        for answer in answers:
            ledger.take(answer)
    ledger.pass_time("H26", h26.now + timedelta(days=1))
    assert set(rules(ledger, h26)) == {ACCEPTED}
    assert ledger.source("H26").held == 0
    assert {gap.state for gap in ledger.source("H26").gaps.values()} == {GapState.GONE}
    assert ledger.gaps("H26") == {(1, n): n for n in range(2, 597, 2)}


def test_what_is_missing_behind_a_gap_that_is_gone_is_a_gap_of_its_own_and_asked_for(
    ledger: MemoryLedger, h26: Lane
) -> None:
    skip_every_other(ledger, h26)
    ledger.take(h26.put(manifest("H26", first_sequence=599, last_sequence=599, delivered_sequence=599)))
    ledger.take(h26.say(directive("beyond"), sequence=603))
    assert asked(ledger)[-1] == (1, 600, 602)
    assert ledger.source("H26").gaps[1, 598].state is GapState.GONE
    assert ledger.source("H26").gaps[1, 600].state is GapState.OPEN


def test_records_that_claim_one_place_again_and_again_hide_no_other_missing_event(
    ledger: MemoryLedger, h26: Lane
) -> None:
    skip_every_other(ledger, h26)
    ledger.take(h26.say(directive("beyond"), sequence=603))
    for _ in range(4):
        ledger.take(h26.put(BROKEN, lane_key=b"?", value=b"rubbish", headers=claiming("www", 600)))
    assert ledger.take(h26.say(directive("d-601"), sequence=601))[-1].decision.rule != "source.sequence-reused"
    assert ledger.gaps("H26")[1, 602] == 602


def test_another_event_at_a_place_that_was_taken_among_many_gaps_is_refused(ledger: MemoryLedger, h26: Lane) -> None:
    skip_every_other(ledger, h26)
    (entry,) = ledger.take(h26.say(directive("other"), sequence=301))
    assert entry.decision.rule == "source.sequence-reused"


def test_a_parked_record_in_a_gap_lets_those_go_that_wait_behind_it_before_the_next(
    ledger: MemoryLedger, h26: Lane
) -> None:
    ledger.take(h26.say(directive("d-2"), sequence=2))
    unreadable = h26.put(BROKEN, value=b"?", headers=claiming("www", 1))
    (needed,) = may_go_on(ledger.history, [heard_of(unreadable)], Bounds().room)
    assert needed.portal == "www"
    ledger.take(unreadable, h26.say(directive("d-3"), sequence=3))
    assert applied(ledger) == ["H26/d-2", "H26/d-3"]


def test_the_pause_between_two_questions_grows_to_an_hour_and_they_end_after_thirty_days(
    ledger: MemoryLedger, h26: Lane
) -> None:
    ledger.take(h26.say(directive("d-2"), sequence=2))
    gap = ledger.source("H26").gaps[1, 1]
    pauses = []
    now = gap.opened_at
    while gap.ask_at is not None:
        pauses.append((gap.ask_at - now).total_seconds())
        now = gap.ask_at
        gap = gap.asked_again(now)
    assert pauses[:10] == [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600]
    assert max(pauses) == 3600
    assert timedelta(days=30) <= now - gap.opened_at < timedelta(days=30, hours=1)


Step = tuple[int, int, int, int]
STEPS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(1, 12), st.integers(0, 3), st.sampled_from([1, 900, 9_000, 26_000])),
    min_size=1,
    max_size=40,
)


def lane_of_steps(steps: list[Step]) -> Lane:
    """Two sources that say their events in any order, with pauses of every length between them; some are unreadable."""
    lane = Lane("H26")
    for number, (source, sequence, kind, pause) in enumerate(steps):
        portal, after = ("www", "edu")[source], timedelta(milliseconds=pause)
        if kind == 3:
            lane.put(BROKEN, value=b"?", headers=claiming(portal, sequence), after=after)
        else:
            version, name = (number % 3 + 1, "shared") if kind == 0 else (1, f"d-{number}")
            lane.say(directive(name, version), portal=portal, sequence=sequence, after=after)
    return lane


def claiming(portal: str, sequence: int) -> list[tuple[str, bytes]]:
    """Headers that claim a place in the order of a source."""
    return [("ce_source", f"/H26/{portal}".encode()), ("ce_sequence", b"%d" % sequence)]


def last_words(entries: list[Entry]) -> dict[int, str]:
    return {entry.lane_offset: entry.decision.rule for entry in entries}


@MANY
@given(STEPS, st.integers(0, 2**32))
def test_no_verdict_depends_on_when_a_timer_ran_or_where_batches_were_cut(steps: list[Step], seed: int) -> None:
    random = Random(seed)
    items = lane_of_steps(steps).items
    plain, timed = MemoryLedger(), MemoryLedger()
    plain.take(*items)
    for index, item in enumerate(items):
        timed.take(item)
        following = time_of(items[index + 1]) if index + 1 < len(items) else time_of(item) + HOLD
        for _ in range(random.randint(0, 2)):
            timed.pass_time("H26", time_of(item) + (following - time_of(item)) * random.random() * 0.999)
    for ledger in (plain, timed):
        ledger.pass_time("H26", NOON + timedelta(days=1))
        assert not ledger.history.held.get(("H26", "www")) and not ledger.history.held.get(("H26", "edu"))
    assert [(entry.lane_offset, entry.decision) for entry in effects(plain)] == [
        (entry.lane_offset, entry.decision) for entry in effects(timed)
    ]
    assert last_words(plain.entries) == last_words(timed.entries)
    assert plain.titles == timed.titles


@MANY
@given(STEPS)
def test_nobody_is_held_longer_than_the_bound(steps: list[Step]) -> None:
    ledger = MemoryLedger()
    for item in lane_of_steps(steps).items:
        ledger.take(item)
        for room in ledger.history.held.values():
            assert all(time_of(item) <= seat.until <= seat.received_at + HOLD for seat in room)


@MANY
@given(STEPS, st.integers(0, 2**32))
def test_held_events_that_were_not_loaded_were_not_needed(steps: list[Step], seed: int) -> None:
    """What `may_go_on` does not name stays where it is, whatever else is in the batch."""
    random = Random(seed)
    items = lane_of_steps(steps).items
    cut = random.randint(0, len(items))
    batch = items[cut : cut + random.choice((1, 3, 100))]
    events, size = random.choice([(2, 1 << 20), (1_000, 1_000), (1_000, 1 << 20)])
    ledger = MemoryLedger(bounds=Bounds(held_per_source=events, held_bytes_per_source=size))
    if cut:
        ledger.take(*items[:cut])
    for source in list(ledger.history.sources.values()):
        for gap in list(source.gaps.values()):
            if random.random() < 0.3:
                ledger.close_gap("H26", gap, source.portal)
    before = ledger.history
    needed = {source.name for source in may_go_on(before, map(heard_of, batch), ledger.bounds.room)}
    spare = MemoryLedger(bounds=ledger.bounds, history=deepcopy(before), next_position=ledger.next_position)
    spare.history.held = {name: room for name, room in spare.history.held.items() if name in needed}
    with_all = ledger.take(*batch)
    with_needed = spare.take(*batch)
    assert [words(entry) for entry in with_needed] == [words(entry) for entry in with_all]
    assert spare.history.sources == ledger.history.sources


def words(entry: Entry) -> tuple[int, int, str, bool]:
    return entry.position, entry.lane_offset, entry.decision.rule, entry.fresh


def effects(ledger: MemoryLedger) -> list[Entry]:
    return [entry for entry in ledger.entries if entry.decision.final]


def time_of(item: Item) -> datetime:
    return NOON + timedelta(milliseconds=item.record.timestamp_ms - round(NOON.timestamp() * 1000))


def test_with_a_closed_gap_go_those_on_that_nothing_else_holds(ledger: MemoryLedger, h26: Lane) -> None:
    """With the next record of the lane, whoever sent it; the gap above goes on holding the others."""
    for number in (3, 4, 6):
        ledger.take(h26.say(directive(f"d-{number}"), sequence=number))
    gaps = ledger.source("H26").gaps
    assert sorted(gaps) == [(1, 1), (1, 5)]
    ledger.close_gap("H26", gaps[1, 1])
    assert applied(ledger) == []
    other = h26.say(directive("other"), portal="edu")
    assert [source.portal for source in may_go_on(ledger.history, [heard_of(other)], Bounds().room)] == ["www"]
    ledger.take(other)
    assert applied(ledger) == ["H26/d-3", "H26/d-4", "H26/other"]
    closed, holding = ledger.source("H26").gaps[1, 1], ledger.source("H26").gaps[1, 5]
    assert (closed.state, closed.hold_until) == (GapState.CLOSED, None)
    assert (holding.state, holding.hold_until) == (GapState.OPEN, gaps[1, 5].hold_until)
    assert ledger.source("H26").held == 1


def test_a_closed_gap_behind_which_nothing_is_held_holds_nothing(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.put(manifest("H26", delivered_sequence=3)))
    ledger.close_gap("H26", ledger.source("H26").gaps[1, 1])
    assert ledger.source("H26").gaps[1, 1].hold_until is None
    assert ledger.source("H26").gaps[1, 1].over_at is None


def test_a_late_event_of_a_closed_gap_is_applied(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive("d-3"), sequence=3))
    ledger.close_gap("H26", ledger.source("H26").gaps[1, 1])
    assert applied(ledger) == []
    ledger.take(h26.say(directive("d-4")))
    assert applied(ledger) == ["H26/d-3", "H26/d-4"]
    late = Event(envelope(77, "H26", sequence=2), directive("d-2"))
    ledger.take(h26.put(content_of(late)))
    assert applied(ledger)[-1] == "H26/d-2"
    assert ledger.gaps("H26") == {(1, 1): 1}


def test_an_empty_history_frees_nobody() -> None:
    assert may_go_on(History(), [], Bounds().room) == []
