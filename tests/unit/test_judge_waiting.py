"""Directives, cases and the waiting room: what fits, what comes too early, and what comes too late."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bus_events import Lane, answer, directive, receipt, withdrawal
from memory_ledger import MemoryLedger
from portalbus.schemas.models import VerdictStatus
from portalbus.streams.judgement.bounds import Bounds
from portalbus.streams.judgement.docket import Item, Unreadable

WEEK = timedelta(days=7)


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


# ---- directives --------------------------------------------------------------------------------------------------


def test_versions_one_after_the_other_are_accepted(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive()), h26.say(directive(version=2)))
    ledger.take(h26.say(withdrawal(version=3)))
    assert told(ledger, h26) == ["event.accepted"] * 3
    assert ledger.state()["directives"] == {"H26/d-1": (3, True)}


def test_a_version_that_is_there_already_comes_too_late(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive()), h26.say(directive(version=2)), h26.say(directive(version=2, title="Khác")))
    assert told(ledger, h26)[-1] == "directive.version-stale"
    assert ledger.entries[-1].decision.params == {"head": "2", "version": "2"}
    assert ledger.entries[-1].decision.path == "/version"


def test_nothing_comes_after_a_withdrawal(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive()), h26.say(withdrawal(version=2)), h26.say(directive(version=3)))
    ledger.take(h26.say(directive(version=9)))
    assert told(ledger, h26)[2:] == ["directive.already-withdrawn"] * 2


def test_directives_of_two_agencies_with_one_id_are_two(ledger: MemoryLedger, h26: Lane, h29: Lane) -> None:
    ledger.take(h26.say(directive()), h29.say(directive()))
    assert ledger.state()["directives"] == {"H26/d-1": (1, False), "H29/d-1": (1, False)}


def test_versions_that_came_too_early_are_released_in_order(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive(version=4)), h26.say(directive(version=2)), h26.say(directive(version=3)))
    assert told(ledger, h26) == ["directive.waits-for-version"] * 3
    entries = ledger.take(h26.say(directive()))
    assert [(entry.lane_offset, entry.fresh) for entry in entries] == [(3, True), (1, False), (2, False), (0, False)]
    assert [entry.position for entry in entries] == [4, 5, 6, 7]
    assert told(ledger, h26)[0] == "directive.waits-for-version → event.accepted"
    assert ledger.state()["directives"] == {"H26/d-1": (4, False)}
    assert ledger.history.waiting.get("H26/d-1", []) == []


def test_a_chain_is_released_as_far_as_it_goes(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive(version=2)), h26.say(directive(version=4)))
    ledger.take(h26.say(directive()))
    assert told(ledger, h26)[:2] == ["directive.waits-for-version → event.accepted", "directive.waits-for-version"]
    ledger.take(h26.say(directive(version=3)))
    assert told(ledger, h26)[1] == "directive.waits-for-version → event.accepted"


def test_of_two_waiting_versions_with_one_number_the_first_wins(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive(version=2, title="Một")), h26.say(directive(version=2, title="Hai")))
    ledger.take(h26.say(directive()))
    assert told(ledger, h26)[:2] == [
        "directive.waits-for-version → event.accepted",
        "directive.waits-for-version → directive.version-stale",
    ]


def test_what_waited_behind_a_withdrawal_is_refused(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive(version=3)), h26.say(withdrawal(version=2)), h26.say(directive()))
    assert told(ledger, h26) == [
        "directive.waits-for-version → directive.already-withdrawn",
        "directive.waits-for-version → event.accepted",
        "event.accepted",
    ]


def test_a_waiting_event_sent_again_is_a_duplicate_and_waits_once(ledger: MemoryLedger, h26: Lane) -> None:
    early = h26.say(directive(version=2))
    ledger.take(early)
    ledger.take(h26.again(early))
    ledger.take(h26.say(directive()))
    assert told(ledger, h26) == [
        "directive.waits-for-version → event.accepted",
        "event.duplicate",
        "event.accepted",
    ]


def test_a_cause_that_is_refused_releases_nothing(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive(version=2)), h26.say(directive(document_type="NO")))
    assert told(ledger, h26)[0] == "directive.waits-for-version"


# ---- cases -------------------------------------------------------------------------------------------------------


def test_a_case_is_received_and_answered(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(receipt()), h26.say(answer()))
    assert told(ledger, h26) == ["event.accepted"] * 2
    assert ledger.state()["cases"] == {"H26-0001": ("H26", "H26", True)}


def test_a_case_is_received_once(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(receipt()), h26.say(receipt(code=2)))
    ledger.take(h26.say(receipt(code=3)))
    assert told(ledger, h26)[1:] == ["case.already-received"] * 2


def test_a_public_code_belongs_to_one_case(ledger: MemoryLedger, h26: Lane, h29: Lane) -> None:
    ledger.take(h26.say(receipt()))
    ledger.take(h29.say(receipt("H29-0001")), h29.say(receipt("H29-0001", code=2)))
    assert told(ledger, h29) == ["case.public-code-taken", "event.accepted"]
    assert ledger.entries[1].decision.path == "/public_code"


def test_a_case_may_be_answered_by_the_agency_in_charge(ledger: MemoryLedger, h26: Lane, h29: Lane) -> None:
    ledger.take(h26.say(receipt(addressed_to="H29")), h29.say(answer()))
    assert told(ledger, h29) == ["event.accepted"]
    assert ledger.answers == {"H26-0001": ("H29", ("H29", 0))}


def test_a_case_may_be_answered_by_the_agency_that_received_it(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(receipt(addressed_to="H29")), h26.say(answer()))
    assert told(ledger, h26)[-1] == "event.accepted"


def test_nobody_else_may_answer(ledger: MemoryLedger, h26: Lane, h29: Lane) -> None:
    ledger.take(h26.say(receipt()), h29.say(answer()))
    assert told(ledger, h29) == ["case.not-yours"]
    assert ledger.entries[-1].decision.params == {"owner": "H26", "agency": "H29"}
    assert ledger.state()["cases"] == {"H26-0001": ("H26", "H26", False)}


def test_a_case_is_answered_once(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(receipt()), h26.say(answer()), h26.say(answer(answer="Một lần nữa.")))
    ledger.take(h26.say(answer(answer="Lần thứ ba.")))
    assert told(ledger, h26)[2:] == ["case.already-resolved"] * 2


def test_answers_that_came_too_early_are_judged_when_the_receipt_comes(
    ledger: MemoryLedger, h26: Lane, h29: Lane
) -> None:
    ledger.take(h29.say(answer(answer="Không phải của tôi.")), h26.say(answer(), after=timedelta(seconds=1)))
    ledger.take(h26.say(answer(answer="Hai."), after=timedelta(seconds=2)))
    assert told(ledger, h29) == ["case.waits-for-receipt"]
    ledger.take(h26.say(receipt()))
    assert told(ledger, h29) == ["case.waits-for-receipt → case.not-yours"]
    assert told(ledger, h26) == [
        "case.waits-for-receipt → event.accepted",
        "case.waits-for-receipt → case.already-resolved",
        "event.accepted",
    ]


def test_of_two_waiting_answers_the_earlier_lane_time_wins_whatever_the_order_of_reading(
    ledger: MemoryLedger, h26: Lane, h29: Lane
) -> None:
    later = h26.say(answer(), after=timedelta(seconds=2))
    ledger.take(later, h29.say(answer(), after=timedelta(seconds=1)))
    ledger.take(h26.say(receipt(addressed_to="H29")))
    assert ledger.answers["H26-0001"] == ("H29", ("H29", 0))


# ---- the waiting room --------------------------------------------------------------------------------------------


def test_a_full_room_refuses_who_comes_next_and_that_is_final(h26: Lane) -> None:
    ledger = MemoryLedger(Bounds(waiting_per_key=2))
    ledger.take(*(h26.say(directive(version=version)) for version in (2, 3, 4)))
    ledger.take(h26.say(directive(version=5)))
    assert told(ledger, h26)[2:] == ["waiting.room-full"] * 2
    ledger.take(h26.say(directive()))
    assert ledger.state()["directives"] == {"H26/d-1": (3, False)}
    assert len(told(ledger, h26)[2].split(" → ")) == 1


def test_a_room_is_full_for_its_key_alone(h26: Lane) -> None:
    ledger = MemoryLedger(Bounds(waiting_per_key=1))
    ledger.take(h26.say(directive("d-1", 2)), h26.say(directive("d-2", 2)), h26.say(directive("d-2", 3)))
    assert told(ledger, h26) == ["directive.waits-for-version"] * 2 + ["waiting.room-full"]


def test_a_stranger_cannot_fill_the_room_of_a_case_for_its_agency(h26: Lane, h29: Lane) -> None:
    ledger = MemoryLedger(Bounds(waiting_per_key=2))
    ledger.take(*(h29.say(answer(answer=f"Lần {number}")) for number in range(3)))
    assert told(ledger, h29)[-1] == "waiting.room-full"
    ledger.take(h26.say(answer()))
    ledger.take(h26.say(receipt()))
    assert told(ledger, h26) == ["case.waits-for-receipt → event.accepted", "event.accepted"]


def test_who_waited_too_long_is_refused_when_asked(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive(version=2)), h26.say(directive("d-2", 2), after=timedelta(days=1)))
    until = h26.items[0].record.timestamp_ms
    assert ledger.expire(h26.now + timedelta(days=6)) == [], "to the millisecond it may still come"
    (entry,) = ledger.expire(h26.now + timedelta(days=6, milliseconds=1))
    assert (entry.lane_offset, entry.decision.rule, entry.fresh) == (0, "waiting.time-up", False)
    assert entry.decision.status is VerdictStatus.REJECTED
    assert round(entry.received_at.timestamp() * 1000) == until
    assert ledger.expire(h26.now + timedelta(days=6, milliseconds=1)) == []


def test_a_cause_that_comes_too_late_is_accepted_and_who_waited_is_refused(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive(version=2)))
    ledger.take(h26.say(directive(), after=WEEK + timedelta(milliseconds=1)))
    assert told(ledger, h26) == ["directive.waits-for-version → waiting.time-up", "event.accepted"]
    assert ledger.state()["directives"] == {"H26/d-1": (1, False)}


def test_a_cause_that_comes_at_the_last_moment_releases(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive(version=2)))
    ledger.take(h26.say(directive(), after=WEEK))
    assert told(ledger, h26)[0] == "directive.waits-for-version → event.accepted"


def test_one_who_came_in_time_waits_on_behind_one_who_did_not(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive(version=2)), h26.say(directive(version=3), after=timedelta(days=5)))
    ledger.take(h26.say(directive(), after=timedelta(days=3)))
    assert told(ledger, h26)[:2] == ["directive.waits-for-version → waiting.time-up", "directive.waits-for-version"]
    ledger.take(h26.say(directive(version=2, title="Bản thay")))
    assert ledger.state()["directives"] == {"H26/d-1": (3, False)}


# ---- in time is in time, in whatever order lanes are read ----------------------------------------------------------


@pytest.mark.parametrize("lane_is_read_first", [True, False])
def test_a_cause_that_came_in_time_on_another_lane_releases_whenever_that_lane_is_read(
    ledger: MemoryLedger, h26: Lane, h29: Lane, lane_is_read_first: bool
) -> None:
    ledger.take(h29.say(answer()))
    began = h29.now
    cause = h26.say(receipt(addressed_to="H29"), after=WEEK - timedelta(hours=1))
    heard = {"H29": began + WEEK + timedelta(hours=1), "H26": began + timedelta(days=1)}
    if lane_is_read_first:
        ledger.take(cause)
    ledger.expire_heard(heard)
    if not lane_is_read_first:
        ledger.take(cause)
    ledger.expire_heard(dict.fromkeys(heard, began + 2 * WEEK))
    assert told(ledger, h29) == ["case.waits-for-receipt → event.accepted"]


@pytest.mark.parametrize("lane_is_read_first", [True, False])
def test_a_cause_that_came_too_late_on_another_lane_releases_nothing_whenever_that_lane_is_read(
    ledger: MemoryLedger, h26: Lane, h29: Lane, lane_is_read_first: bool
) -> None:
    ledger.take(h29.say(answer()))
    began = h29.now
    cause = h26.say(receipt(addressed_to="H29"), after=WEEK + timedelta(milliseconds=2))
    if lane_is_read_first:
        ledger.take(cause)
    ledger.expire_heard({"H26": began + WEEK + timedelta(milliseconds=1)})
    if not lane_is_read_first:
        ledger.take(cause)
    assert told(ledger, h29) == ["case.waits-for-receipt → waiting.time-up"]


def test_another_lanes_event_of_the_key_makes_nobody_late(ledger: MemoryLedger, h26: Lane, h29: Lane) -> None:
    """H29's record ends the hold behind which H26's own answer waits; what H26's lane brings may still be in time."""
    bad = h26.put(Unreadable("record.undecodable", "bytes"), lane_key=b"H26-0001")
    ledger.take(bad, h26.say(answer()), h29.say(answer()))
    h29.now += WEEK + timedelta(hours=2)
    ledger.take(h29.say(answer(answer="Lần hai.")))
    assert told(ledger, h26)[1] == "key.parked-before → case.waits-for-receipt"
    assert told(ledger, h29)[0] == "case.waits-for-receipt"
    ledger.take(h26.say(receipt(addressed_to="H29"), after=timedelta(days=1)))
    assert told(ledger, h29)[0] == "case.waits-for-receipt → event.accepted"


def test_a_parked_cause_that_is_read_after_all_came_when_it_came(ledger: MemoryLedger, h26: Lane, h29: Lane) -> None:
    ledger.take(h29.say(answer()))
    mended = h26.say(receipt(addressed_to="H29"), after=timedelta(days=1))
    bad = Item(mended.record, Unreadable("record.undecodable", "not yet"))
    ledger.take(bad)
    ledger.redrive(bad, mended.content, h26.now + 2 * WEEK)
    assert told(ledger, h29) == ["case.waits-for-receipt → event.accepted"]


# ---- the order of authority --------------------------------------------------------------------------------------


def test_the_lane_is_asked_before_the_source_the_id_and_the_content(ledger: MemoryLedger, h26: Lane) -> None:
    first = h26.say(directive(), agency="H29", portal="x", sequence=1)
    ledger.take(first, h26.again(first), h26.say(directive(document_type="NO"), agency="H29"))
    assert told(ledger, h26) == ["lane.agency-mismatch"] * 3


def test_the_source_is_asked_before_the_id(ledger: MemoryLedger, h26: Lane) -> None:
    first = h26.say(directive())
    ledger.take(first)
    ledger.history.sources["H26", "www"].status = "blocked"
    ledger.take(h26.again(first))
    assert told(ledger, h26)[-1] == "source.blocked"


def test_the_id_is_asked_before_the_sequence_and_the_sequence_before_the_content(
    ledger: MemoryLedger, h26: Lane
) -> None:
    first = h26.say(directive())
    ledger.take(first, h26.again(first), h26.say(directive(document_type="NO"), sequence=1))
    assert told(ledger, h26)[1:] == ["event.duplicate", "source.sequence-reused"]


def test_the_content_is_asked_before_the_key_and_the_key_before_what_happened(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive()), h26.say(directive(document_type="NO"), lane_key=b"x"))
    ledger.take(h26.say(directive(), lane_key=b"x"), h26.say(directive()))
    assert told(ledger, h26)[1:] == ["directive.type-unknown", "record.key-mismatch", "directive.version-stale"]
