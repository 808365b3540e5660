"""Events that the reconciliation asked for again: duplicates where they are listed, restored where they were lost."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from bus_events import Lane, answer, directive, receipt
from memory_ledger import directory
from portalbus.schemas.codec import Decoded
from portalbus.streams.judgement.docket import Docket, Entry, Item
from portalbus.streams.judgement.history import CaseState, DirectiveState, History, SourceState


@dataclass
class LossyLedger:
    """A ledger that took in three events of H26 and does not list the first of them any more."""

    lane: Lane = field(default_factory=lambda: Lane("H26"))
    history: History = field(default_factory=History)

    def __post_init__(self) -> None:
        lane = self.lane
        self.history.sources["H26", "www"] = SourceState("H26", "www", lane.now, lane.now, last_sequence=3)

    def lost(self, item: Item) -> Item:
        """An event of the past that its source was asked for again."""
        assert isinstance(item.content, Decoded)
        wanted = self.history.reconciling.wanted
        wanted["H26", item.content.event.envelope.id] = item.content.content_hash
        return item

    def hear(self, *items: Item) -> list[Entry]:
        docket = Docket(self.history, directory(), 1)
        docket.hear(items)
        return docket.entries


@pytest.fixture
def ledger() -> LossyLedger:
    return LossyLedger()


def rules(entries: list[Entry]) -> list[str]:
    return [entry.decision.rule for entry in entries]


def test_an_event_that_nobody_asked_for_is_no_lost_one(ledger: LossyLedger) -> None:
    assert rules(ledger.hear(ledger.lane.say(directive()))) == ["source.sequence-reused"]


def test_a_lost_event_is_restored_and_takes_effect(ledger: LossyLedger) -> None:
    (entry,) = ledger.hear(ledger.lost(ledger.lane.say(directive())))
    assert entry.decision.rule == "event.restored"
    assert (entry.claims_id, entry.canonical is not None) == (True, True)
    assert ledger.history.directives["H26/d-1"].version == 1


def test_a_lost_version_behind_others_is_restored_and_leaves_them_as_they_are(ledger: LossyLedger) -> None:
    now = ledger.lane.now
    ledger.history.directives["H26/d-1"] = DirectiveState("H26/d-1", "H26", 2, False, now)
    assert rules(ledger.hear(ledger.lost(ledger.lane.say(directive())))) == ["event.restored"]
    assert (ledger.history.directives["H26/d-1"].version, ledger.history.directives["H26/d-1"].added) == (2, [])


def test_a_lost_event_whose_place_another_one_has_is_refused_like_any_other(ledger: LossyLedger) -> None:
    ledger.history.directives["H26/d-1"] = DirectiveState("H26/d-1", "H26", 2, False, ledger.lane.now)
    ledger.history.reconciling.taken.add(("H26/d-1", "DirectivePublished", 1))
    assert rules(ledger.hear(ledger.lost(ledger.lane.say(directive())))) == ["directive.version-stale"]


def test_a_lost_receipt_is_restored_although_its_case_is_there(ledger: LossyLedger) -> None:
    ledger.history.cases["H26-0001"] = CaseState("H26-0001", "H26", "H26", resolved_before=True)
    assert rules(ledger.hear(ledger.lost(ledger.lane.say(receipt())))) == ["event.restored"]
    assert ledger.history.cases["H26-0001"].opened is None


def test_a_lost_answer_waits_for_its_receipt_as_ever(ledger: LossyLedger) -> None:
    assert rules(ledger.hear(ledger.lost(ledger.lane.say(answer())))) == ["case.waits-for-receipt"]


def test_an_event_that_has_never_come_is_accepted_as_new_although_its_place_was_used_up(ledger: LossyLedger) -> None:
    item = ledger.lost(ledger.lane.say(directive()))
    assert isinstance(item.content, Decoded)
    ledger.history.reconciling.unheard.add(("H26", item.content.event.envelope.id))
    assert rules(ledger.hear(item)) == ["event.accepted"]


def test_an_event_on_the_list_stays_a_duplicate_and_its_bytes_are_kept(ledger: LossyLedger) -> None:
    item = ledger.lost(ledger.lane.say(directive()))
    assert isinstance(item.content, Decoded)
    event_id = item.content.event.envelope.id
    for listed_hash in (item.content.content_hash, bytes(32)):  # the list itself may be what was altered
        ledger.history.event_ids["H26", event_id] = listed_hash
        assert rules(ledger.hear(item)) == ["event.duplicate"]
        assert ledger.history.reconciling.resent.pop() == ("H26", event_id, item.record.value)


def test_other_content_under_the_id_of_a_lost_event_is_not_taken_for_it(ledger: LossyLedger) -> None:
    item = ledger.lost(ledger.lane.say(directive()))
    assert isinstance(item.content, Decoded)
    ledger.history.reconciling.wanted["H26", item.content.event.envelope.id] = bytes(32)
    assert rules(ledger.hear(item)) == ["source.sequence-reused"]
