"""Parked records: what waits behind them, for how long, and what happens when somebody decides about them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bus_events import Lane, answer, content_of, directive, manifest, receipt
from memory_ledger import MemoryLedger
from portalbus.schemas.codec import Decoded
from portalbus.schemas.headers import cloudevents_headers
from portalbus.schemas.models import Event, Payload, VerdictStatus
from portalbus.streams.judgement.bounds import Bounds
from portalbus.streams.judgement.docket import Item, Unreadable
from portalbus.streams.judgement.parked import Claim, claim_of
from portalbus.streams.records import LaneRecord

HOUR = timedelta(hours=1)
BROKEN = Unreadable("record.undecodable", "EOFError while decoding")
BEHIND = "key.parked-before"


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


@pytest.fixture
def h26() -> Lane:
    return Lane("H26")


@pytest.fixture
def h29() -> Lane:
    return Lane("H29")


def told(ledger: MemoryLedger, lane: Lane) -> list[str]:
    """All rules that decided on each record of a lane, joined by arrows."""
    verdicts = ledger.verdicts()
    return [" → ".join(verdicts[lane.agency, item.record.offset]) for item in lane.items]


def broken(lane: Lane, payload: Payload, *, key: bytes | None = None) -> tuple[Item, Decoded]:
    """A record that cannot be read, as the SDK would have sent it, and what it would have said."""
    envelope = lane.next_envelope()
    event = Event(envelope, payload)
    item = lane.put(
        BROKEN,
        lane_key=event.key.encode() if key is None else key,
        value=b"\x00broken",
        headers=cloudevents_headers(envelope, payload.event_type),
    )
    return item, content_of(event)


# ---- who waits behind whom ---------------------------------------------------------------------------------------


def test_later_events_of_the_key_wait_behind_a_parked_one_and_no_others(ledger: MemoryLedger, h26: Lane) -> None:
    bad, _ = broken(h26, directive())
    ledger.take(bad, h26.say(directive(version=2)), h26.say(directive("d-2")))
    ledger.take(h26.say(directive(version=3)), h26.say(receipt()))
    assert told(ledger, h26) == ["record.undecodable", BEHIND, "event.accepted", BEHIND, "event.accepted"]
    assert ledger.entries[1].decision.status is VerdictStatus.WAITING
    assert not ledger.entries[1].decision.final


def test_who_came_before_it_does_not_wait(ledger: MemoryLedger, h26: Lane) -> None:
    early = h26.say(directive(version=2))
    ledger.take(early)
    bad, _ = broken(h26, directive())
    ledger.take(bad)
    assert told(ledger, h26) == ["directive.waits-for-version", "record.undecodable"]


def test_a_redriven_event_takes_effect_first_and_then_those_behind_it_in_order(ledger: MemoryLedger, h26: Lane) -> None:
    bad, mended = broken(h26, directive())
    ledger.take(bad, h26.say(directive(version=2)), h26.say(directive(version=3)))
    entries = ledger.redrive(bad, mended, h26.now + timedelta(minutes=5))
    assert [(entry.lane_offset, entry.decision.rule, entry.fresh) for entry in entries] == [
        (0, "event.accepted", False),
        (1, "event.accepted", False),
        (2, "event.accepted", False),
    ]
    assert (entries[0].redriven, entries[0].canonical) == (True, bad.record.value)
    assert ledger.state()["directives"] == {"H26/d-1": (3, False)}
    assert ledger.source("H26").last_sequence == 3
    assert ledger.gaps("H26") == {}


def test_a_discarded_record_is_refused_for_good_and_those_behind_it_are_judged(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive()))
    bad, _ = broken(h26, directive(version=2))
    ledger.take(bad, h26.say(directive(version=2, title="Bản thay")), h26.say(directive(version=4)))
    entries = ledger.discard(bad, h26.now)
    assert [(entry.lane_offset, entry.decision.rule) for entry in entries] == [
        (1, "parked.discarded"),
        (2, "event.accepted"),
        (3, "directive.waits-for-version"),
    ]
    assert entries[0].decision.final
    assert ledger.titles["H26/d-1"][-1] == "Bản thay"


def test_the_place_of_a_discarded_record_stays_open_for_the_event_that_nobody_has_seen(
    ledger: MemoryLedger, h26: Lane
) -> None:
    """Rubbish with somebody's headers was refused, not the event whose place it took."""
    ledger.take(h26.say(directive()))
    bad, _ = broken(h26, directive("d-2"))
    ledger.take(bad, h26.say(directive("d-3")))
    ledger.discard(bad, h26.now)
    ledger.take(h26.say(directive("d-2"), sequence=2), h26.say(directive("d-4"), sequence=2))
    assert told(ledger, h26)[-2:] == ["event.accepted", "source.sequence-reused"]


def test_who_waited_behind_a_parked_one_may_go_on_to_wait_for_its_cause(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive()))
    bad, _ = broken(h26, directive("d-1", 2))
    ledger.take(bad, h26.say(directive(version=3)))
    ledger.discard(bad, h26.now)
    ledger.take(h26.say(directive(version=2)))
    assert told(ledger, h26)[2] == f"{BEHIND} → directive.waits-for-version → event.accepted"


def test_two_parked_ones_of_a_key_keep_their_order(ledger: MemoryLedger, h26: Lane) -> None:
    one, first = broken(h26, directive())
    two, second = broken(h26, directive(version=2))
    ledger.take(one, two, h26.say(directive(version=3)))
    ledger.redrive(two, second, h26.now)
    assert told(ledger, h26) == ["record.undecodable", f"record.undecodable → {BEHIND}", BEHIND]
    ledger.redrive(one, first, h26.now)
    assert told(ledger, h26) == [
        "record.undecodable → event.accepted",
        f"record.undecodable → {BEHIND} → event.accepted",
        f"{BEHIND} → event.accepted",
    ]


def test_who_stands_behind_two_waits_until_both_are_decided(ledger: MemoryLedger, h26: Lane) -> None:
    one, first = broken(h26, directive())
    between = h26.say(directive(version=2))
    two, third = broken(h26, directive(version=3))
    ledger.take(one, between, two, h26.say(directive(version=4)))
    ledger.redrive(one, first, h26.now)
    assert told(ledger, h26)[1:] == [f"{BEHIND} → event.accepted", "record.undecodable", BEHIND]
    ledger.redrive(two, third, h26.now)
    assert ledger.state()["directives"] == {"H26/d-1": (4, False)}


def test_a_receipt_that_was_parked_releases_the_answer_of_another_lane(
    ledger: MemoryLedger, h26: Lane, h29: Lane
) -> None:
    bad, mended = broken(h26, receipt(addressed_to="H29"))
    ledger.take(bad, h29.say(answer()))
    assert told(ledger, h29) == ["case.waits-for-receipt"]
    ledger.redrive(bad, mended, h26.now)
    assert told(ledger, h29) == ["case.waits-for-receipt → event.accepted"]


# ---- what a broken or hostile record cannot do -------------------------------------------------------------------


def test_a_record_holds_its_own_lane_alone(ledger: MemoryLedger, h26: Lane, h29: Lane) -> None:
    """Garbage on one lane with the key of another agency's document or case holds nothing of that agency."""
    ledger.take(h29.put(BROKEN, lane_key=b"H26/d-1"), h29.put(BROKEN, lane_key=b"H26-0001"))
    ledger.take(h26.say(directive()), h26.say(receipt(addressed_to="H29")), h29.say(directive()))
    assert told(ledger, h26) == ["event.accepted"] * 2
    assert told(ledger, h29)[-1] == "event.accepted"
    ledger.take(h29.say(answer()))
    assert told(ledger, h29)[-1] == BEHIND, "its own events of that case are its own affair"


@pytest.mark.parametrize("key", [None, b"", b"k", b"H29/d-1", b"H26/", b"\xff\xfe", b"H26/a,b", b"H26/" + b"x" * 129])
def test_what_has_no_key_that_could_be_one_holds_nothing(key: bytes | None, h26: Lane) -> None:
    assert claim_of(LaneRecord("lane.H26", "H26", 0, 0, key, b"x")).key is None
    ledger = MemoryLedger()
    ledger.take(h26.put(BROKEN, lane_key=key), h26.say(directive()))
    assert told(ledger, h26)[-1] == "event.accepted"


def test_a_key_is_held_for_an_hour_of_lane_time_and_then_its_events_are_judged_as_they_are(
    ledger: MemoryLedger, h26: Lane
) -> None:
    ledger.take(h26.say(directive()))
    bad, mended = broken(h26, directive(version=2, title="Bản hỏng"))
    since = h26.now
    ledger.take(bad, h26.say(directive(version=2)), h26.say(directive(version=3), after=HOUR / 2))
    assert ledger.expire(since + HOUR) == []
    entries = ledger.expire(since + HOUR + timedelta(milliseconds=1))
    assert [(entry.lane_offset, entry.decision.rule) for entry in entries] == [
        (2, "event.accepted"),
        (3, "event.accepted"),
    ]
    ledger.take(h26.say(directive(version=4), after=HOUR))
    assert told(ledger, h26)[-1] == "event.accepted"
    ledger.redrive(bad, mended, h26.now)
    assert told(ledger, h26)[1] == "record.undecodable → directive.version-stale"


def test_the_next_event_of_the_key_ends_a_hold_that_is_over_before_it_is_judged(
    ledger: MemoryLedger, h26: Lane, h29: Lane
) -> None:
    bad, _ = broken(h26, answer(answer="x"), key=b"H26-0001")
    ledger.take(bad, h26.say(receipt(addressed_to="H29")))
    h29.now = h26.now
    ledger.take(h29.say(answer(), after=HOUR + timedelta(seconds=1)))
    assert told(ledger, h26)[-1] == f"{BEHIND} → event.accepted"
    assert told(ledger, h29) == ["event.accepted"], "another lane's event finds the case as it is"


def test_garbage_without_end_holds_a_key_ten_times_at_most(h26: Lane) -> None:
    ledger = MemoryLedger(Bounds(parked_per_key=2))
    for _ in range(5):
        ledger.take(h26.put(BROKEN, lane_key=b"H26/d-1"))
        h26.now += HOUR + timedelta(seconds=1)
    ledger.take(h26.say(directive()))
    assert told(ledger, h26)[-1] == "event.accepted"


def test_when_too_many_wait_behind_it_a_record_holds_its_key_no_longer(h26: Lane) -> None:
    ledger = MemoryLedger(Bounds(waiting_per_key=2))
    ledger.take(h26.say(directive()))
    bad, _ = broken(h26, directive("d-1", 9))
    ledger.take(bad, h26.say(directive(version=2)), h26.say(directive(version=3)))
    entries = ledger.take(h26.say(directive(version=4)))
    assert [(entry.lane_offset, entry.decision.rule) for entry in entries] == [
        (2, "event.accepted"),
        (3, "event.accepted"),
        (4, "event.accepted"),
    ]
    ledger.take(h26.say(directive(version=5)))
    assert told(ledger, h26)[-1] == "event.accepted"


# ---- its place in the order of its source ------------------------------------------------------------------------


def test_a_parked_record_uses_up_its_place_so_that_nobody_asks_for_it(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive("d-0")))
    bad, mended = broken(h26, directive())
    ledger.take(bad, h26.say(directive("d-2")))
    assert told(ledger, h26)[-1] == "event.accepted"
    assert (ledger.gaps("H26"), ledger.notices) == ({}, [])
    ledger.redrive(bad, mended, h26.now)
    assert told(ledger, h26)[1] == "record.undecodable → event.accepted"
    ledger.take(h26.say(directive("d-3"), sequence=2))
    assert told(ledger, h26)[-1] == "source.sequence-reused"


def test_the_event_that_should_have_stood_there_may_still_come(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive("d-0")))
    bad, mended = broken(h26, directive("d-9"))
    ledger.take(bad, h26.say(directive("d-2")))
    ledger.take(h26.say(directive("d-1"), sequence=2))
    assert told(ledger, h26)[-1] == "event.accepted"
    ledger.redrive(bad, mended, h26.now)
    assert told(ledger, h26)[1] == "record.undecodable → source.sequence-reused"


def test_headers_are_believed_in_the_next_place_only(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive("d-0")))
    envelope = h26.next_envelope().model_copy(update={"sequence": 1_000})
    ledger.take(h26.put(BROKEN, lane_key=b"k", headers=cloudevents_headers(envelope, "DirectivePublished")))
    assert ledger.source("H26").last_sequence == 1


def test_a_lane_speaks_for_its_own_sources_alone() -> None:
    forged = (("ce_source", b"/H29/www"), ("ce_sequence", b"5"), ("ce_id", b"x"))
    assert claim_of(LaneRecord("lane.H26", "H26", 0, 0, b"H26/d-1", b"", forged)) == Claim(key="H26/d-1")


@pytest.mark.parametrize("sequence", [b"", b"0", b"-1", b"9" * 19, b"9" * 40, b"1e3", b"\xff"])
def test_a_sequence_that_is_none_is_not_believed(sequence: bytes) -> None:
    headers = (("ce_source", b"/H26/www"), ("ce_sequence", sequence))
    assert claim_of(LaneRecord("lane.H26", "H26", 0, 0, None, b"", headers)).sequence is None


# ---- redriving what is no event, or one that is refused ----------------------------------------------------------


def test_a_redriven_event_is_refused_like_any_other(ledger: MemoryLedger, h26: Lane) -> None:
    bad, mended = broken(h26, directive(document_type="NO"))
    ledger.take(bad)
    ledger.redrive(bad, mended, h26.now)
    assert told(ledger, h26) == ["record.undecodable → directive.type-unknown"]


def test_a_redriven_event_that_was_sent_again_meanwhile_is_a_duplicate(ledger: MemoryLedger, h26: Lane) -> None:
    bad, mended = broken(h26, directive())
    ledger.take(bad, h26.put(mended, after=HOUR * 2))
    ledger.redrive(bad, mended, h26.now)
    assert told(ledger, h26) == ["record.undecodable → event.duplicate", "event.accepted"]


def test_a_manifest_that_was_parked_is_past(ledger: MemoryLedger, h26: Lane) -> None:
    bad = h26.put(BROKEN)
    ledger.take(bad)
    (entry,) = ledger.redrive(bad, manifest("H26"), h26.now)
    assert (entry.decision.rule, entry.decision.final, entry.canonical) == ("parked.heartbeat-past", True, None)
    assert ("H26", "www") not in ledger.history.sources


def test_a_redriven_event_waits_for_its_cause_from_now_on(ledger: MemoryLedger, h26: Lane) -> None:
    bad, mended = broken(h26, directive(version=2))
    ledger.take(bad)
    now = h26.now + timedelta(days=8)
    ledger.redrive(bad, mended, now)
    assert ledger.expire(now + timedelta(days=6)) == []
    assert told(ledger, h26) == ["record.undecodable → directive.waits-for-version"]
    h26.now = now
    ledger.take(h26.say(directive()))
    assert told(ledger, h26)[0].endswith("event.accepted")


def test_a_decision_is_never_earlier_than_the_record_that_it_is_about(ledger: MemoryLedger, h26: Lane) -> None:
    """However much the clocks differ: else its time to wait would be over before it began."""
    bad, mended = broken(h26, directive(version=2))
    ledger.take(bad)
    entries = ledger.redrive(bad, mended, h26.now - timedelta(days=10))
    assert [entry.decision.rule for entry in entries] == ["directive.waits-for-version"]
    assert ledger.expire(h26.now + timedelta(days=6)) == []
