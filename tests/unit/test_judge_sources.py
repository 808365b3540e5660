"""Who speaks, and in which order: lanes, sources, ids, sequences, gaps, epochs, manifests."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bus_events import NOON, Lane, content_of, contents, directive, event_id, manifest, receipt, with_id_of
from memory_ledger import MemoryLedger
from portalbus.schemas.codec import Decoded, Misshapen
from portalbus.schemas.findings import Finding
from portalbus.schemas.models import VerdictStatus
from portalbus.streams.judgement.docket import Unreadable


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


@pytest.fixture
def h26() -> Lane:
    return Lane("H26")


def rules(ledger: MemoryLedger, lane: Lane) -> list[str]:
    """The rule that decided last on each record of a lane, in lane order."""
    verdicts = ledger.verdicts()
    return [verdicts[lane.agency, item.record.offset][-1] for item in lane.items]


def test_an_event_in_its_place_is_accepted_and_moves_its_source_on(ledger: MemoryLedger, h26: Lane) -> None:
    (entry,) = ledger.take(h26.say(directive()))
    assert entry.decision.rule == "event.accepted"
    assert entry.decision.final
    assert entry.canonical == h26.items[0].record.value
    source = ledger.source("H26")
    assert (source.epoch, source.last_sequence, source.gaps) == (1, 1, {})
    assert source.first_heard_at == source.last_heard_at == NOON + timedelta(milliseconds=1)
    assert source.clock_offset_ms == -1


def test_an_agency_on_anothers_lane_is_refused_and_nothing_of_it_is_touched(ledger: MemoryLedger, h26: Lane) -> None:
    g22 = Lane("G22")
    ledger.take(g22.say(directive()))
    (entry,) = ledger.take(h26.say(directive("d-2"), agency="G22", sequence=2))
    assert entry.decision.rule == "lane.agency-mismatch"
    assert entry.decision.params == {"agency": "G22", "lane": "H26"}
    assert not entry.claims_id
    assert ledger.source("G22").last_sequence == 1
    assert ("H26", "www") not in ledger.history.sources
    assert "G22/d-2" not in ledger.history.directives
    ledger.take(g22.say(directive("d-2")))
    assert rules(ledger, g22) == ["event.accepted", "event.accepted"]


def test_what_is_stated_of_another_agencys_source_is_refused_and_not_believed(ledger: MemoryLedger, h26: Lane) -> None:
    g22 = Lane("G22")
    ledger.take(g22.say(directive()))
    entries = ledger.take(h26.put(manifest("G22", delivered_sequence=9)), h26.put(contents("G22")))
    assert [(entry.decision.rule, entry.decision.path) for entry in entries] == [
        ("lane.agency-mismatch", "/agency")
    ] * 2
    assert all(entry.decision.final and entry.envelope is None for entry in entries)
    assert entries[0].decision.params == {"agency": "G22", "lane": "H26"}
    assert ledger.gaps("G22") == {}
    assert ledger.source("G22").manifest is None
    assert ("H26", "www") not in ledger.history.sources


def test_a_manifest_is_kept_and_is_no_event(ledger: MemoryLedger, h26: Lane) -> None:
    assert ledger.take(h26.put(manifest("H26", last_sequence=40, delivered_sequence=0))) == []
    source = ledger.source("H26")
    assert source.manifest is not None
    assert source.manifest.last_sequence == 40
    assert source.last_sequence == 0, "nothing was delivered yet"
    heartbeat = manifest("H26", last_sequence=41, delivered_sequence=1)
    ledger.take(h26.say(directive()), h26.put(heartbeat, after=timedelta(minutes=1)))
    source = ledger.source("H26")
    assert (source.last_sequence, source.gaps) == (1, {})
    assert source.first_heard_at == NOON + timedelta(milliseconds=1)
    assert source.last_heard_at == NOON + timedelta(minutes=1, milliseconds=2)


def test_the_same_event_again_is_a_duplicate_and_changes_nothing(ledger: MemoryLedger, h26: Lane) -> None:
    item = h26.say(directive())
    ledger.take(item)
    before = ledger.state()
    (entry,) = ledger.take(h26.again(item))
    assert entry.decision.rule == "event.duplicate"
    assert not entry.claims_id
    assert ledger.state() == before
    assert ledger.gaps("H26") == {}


def test_a_duplicate_of_a_refused_event_is_a_duplicate(ledger: MemoryLedger, h26: Lane) -> None:
    item = h26.say(directive(document_type="NO"))
    ledger.take(item, h26.again(item))
    assert rules(ledger, h26) == ["directive.type-unknown", "event.duplicate"]


def test_an_id_for_something_else_is_refused_and_the_first_keeps_it(ledger: MemoryLedger, h26: Lane) -> None:
    first = h26.say(directive())
    second = h26.say(directive("d-2"))
    h26.items.pop()
    ledger.take(first, h26.put(with_id_of(second, first)))
    assert rules(ledger, h26) == ["event.accepted", "event.id-reused"]
    ledger.take(h26.again(first))
    assert rules(ledger, h26)[-1] == "event.duplicate"


def test_another_agency_cannot_take_an_id_away(ledger: MemoryLedger, h26: Lane) -> None:
    g22 = Lane("G22")
    ledger.take(g22.say(directive(), id=event_id(7)), h26.say(directive(), id=event_id(7)))
    assert rules(ledger, g22) == rules(ledger, h26) == ["event.accepted"]


def test_two_portals_of_one_agency_share_its_ids(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive(), id=event_id(7)), h26.say(directive("d-2"), id=event_id(7), portal="edu"))
    assert rules(ledger, h26) == ["event.accepted", "event.id-reused"]


def test_a_blocked_source_is_refused_and_may_send_the_same_again_later(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive()))
    ledger.history.sources["H26", "www"].status = "blocked"
    item = h26.say(directive("d-2"))
    ledger.take(item, h26.say(directive("d-3"), portal="edu"))
    assert rules(ledger, h26) == ["event.accepted", "source.blocked", "event.accepted"]
    assert ledger.source("H26").last_sequence == 1
    ledger.history.sources["H26", "www"].status = "active"
    ledger.take(h26.again(item))
    assert rules(ledger, h26)[-1] == "event.accepted"
    assert "H26/d-2" in ledger.history.directives


def test_a_sequence_that_belongs_to_another_event_is_refused(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive()), h26.say(directive("d-2"), sequence=1))
    assert rules(ledger, h26) == ["event.accepted", "source.sequence-reused"]
    assert ledger.entries[-1].decision.params == {"sequence": "1"}
    assert ledger.gaps("H26") == {}


def test_a_new_epoch_begins_at_one_and_the_old_ones_gap_stays_open(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(
        h26.say(directive()),
        h26.say(directive("d-3"), sequence=3),
        h26.say(directive("d-new"), epoch=2),
        h26.say(directive("d-2"), sequence=2),
    )
    assert set(rules(ledger, h26)) == {"event.accepted"}
    source = ledger.source("H26")
    assert (source.epoch, source.last_sequence, source.gaps) == (2, 1, {})


def test_a_new_epoch_that_does_not_begin_at_one_opens_a_gap(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive()), h26.say(directive("d-2"), epoch=4, sequence=3))
    assert ledger.gaps("H26") == {(4, 1): 2}


def test_an_old_epoch_takes_nothing_new(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive(), epoch=2), h26.say(directive("d-2"), epoch=1))
    assert rules(ledger, h26) == ["event.accepted", "source.sequence-reused"]


def test_an_event_refused_for_what_it_says_still_takes_its_place(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive(document_type="NO")), h26.say(directive()))
    assert rules(ledger, h26) == ["directive.type-unknown", "event.accepted"]
    assert ledger.gaps("H26") == {}


def test_a_duplicate_and_a_reused_id_still_take_their_places(ledger: MemoryLedger, h26: Lane) -> None:
    """An outbox that was repaired sends what the centre has already under new sequences of a new epoch."""
    first = h26.say(directive())
    ledger.take(first)
    assert isinstance(first.content, Decoded)
    event_again = first.content.event
    renumbered = event_again.envelope.model_copy(update={"epoch": 2, "sequence": 1})
    ledger.take(
        h26.put(content_of(type(event_again)(renumbered, event_again.payload))),
        h26.say(directive("d-other"), epoch=2, sequence=2, id=event_again.envelope.id),
        h26.say(directive("d-2"), epoch=2, sequence=3),
    )
    assert rules(ledger, h26)[1:] == ["event.duplicate", "event.id-reused", "event.accepted"]
    assert ledger.gaps("H26") == {}


def test_every_record_but_one_that_speaks_for_another_counts_as_heard(ledger: MemoryLedger, h26: Lane) -> None:
    hour = timedelta(hours=1)
    item = h26.say(directive())
    ledger.take(item)
    ledger.take(h26.put(item.content, after=hour))
    assert ledger.source("H26").last_heard_at == NOON + hour + timedelta(milliseconds=1)


def test_a_record_that_cannot_be_read_is_parked_and_the_lane_goes_on(ledger: MemoryLedger, h26: Lane) -> None:
    entries = ledger.take(
        h26.put(Unreadable("record.not-avro", "no"), value=b"rubbish"),
        h26.say(directive()),
    )
    assert [entry.decision.status for entry in entries] == [VerdictStatus.PARKED, VerdictStatus.ACCEPTED]
    assert not entries[0].decision.final, "an operator may send it in again"
    assert entries[0].envelope is None
    ((record, why),) = ledger.parked
    assert (record.value, why.rule) == (b"rubbish", "record.not-avro")


def test_a_misshapen_event_is_refused_by_its_first_finding_and_takes_its_place(ledger: MemoryLedger, h26: Lane) -> None:
    findings = (Finding("schema.too-long", "/title", {"field": "/title"}), Finding("schema.empty", "/number"))
    broken = Misshapen(h26.next_envelope(), "DirectivePublished", b"hash", findings)
    (entry,) = ledger.take(h26.put(broken, value=b"v"))
    assert (entry.decision.rule, entry.decision.path) == ("schema.too-long", "/title")
    assert (entry.event_type, entry.key, entry.claims_id) == ("DirectivePublished", None, True)
    ledger.take(h26.put(broken, value=b"v"), h26.say(directive()))
    assert rules(ledger, h26) == ["schema.too-long", "event.duplicate", "event.accepted"]


def test_a_misshapen_event_on_anothers_lane_is_refused_for_that(ledger: MemoryLedger, h26: Lane) -> None:
    broken = Misshapen(h26.next_envelope(agency="G22"), "DirectivePublished", b"hash", (Finding("schema.empty"),))
    ledger.take(h26.put(broken))
    assert rules(ledger, h26) == ["lane.agency-mismatch"]


def test_the_key_of_the_record_must_be_the_key_of_the_event(ledger: MemoryLedger, h26: Lane) -> None:
    ledger.take(h26.say(directive(), lane_key=b"H26/d-2"), h26.say(receipt(), lane_key=b"H26-0001"))
    assert rules(ledger, h26) == ["record.key-mismatch", "event.accepted"]


def test_a_record_without_a_key_is_taken_by_what_it_says(ledger: MemoryLedger, h26: Lane) -> None:
    item = h26.say(directive())
    bare = type(item)(item.record._replace(key=None), item.content)
    (entry,) = ledger.take(bare)
    assert (entry.decision.rule, entry.key) == ("event.accepted", "H26/d-1")
