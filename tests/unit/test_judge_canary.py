"""A canary is judged like any event, and belongs to no directive and no case."""

from __future__ import annotations

from datetime import timedelta

from bus_events import NOON, Lane, directive
from memory_ledger import MemoryLedger
from portalbus.schemas.models import Canary, VerdictStatus

CANARY = Canary(interval_s=300)


def test_a_canary_is_accepted_under_a_rule_of_its_own_and_goes_nowhere() -> None:
    ledger, h26 = MemoryLedger(), Lane("H26")
    (entry,) = ledger.take(h26.say(CANARY))
    assert (entry.decision.rule, entry.decision.status) == ("event.canary", VerdictStatus.ACCEPTED)
    assert entry.decision.final and entry.claims_id
    assert entry.canonical is None
    assert ledger.state() == {"directives": {}, "cases": {}}
    (heard,) = ledger.history.canaries.items()
    assert heard == (("H26", "www"), (CANARY, NOON + timedelta(milliseconds=1)))


def test_a_canary_has_its_place_in_the_order_of_its_source() -> None:
    ledger, h26 = MemoryLedger(), Lane("H26")
    ledger.take(h26.say(directive("d-1")), h26.say(CANARY), h26.say(directive("d-2")))
    assert [entry.decision.rule for entry in ledger.entries] == ["event.accepted", "event.canary", "event.accepted"]
    assert (ledger.source("H26").last_sequence, ledger.gaps("H26")) == (3, {})


def test_a_canary_that_comes_twice_is_a_duplicate() -> None:
    ledger, h26 = MemoryLedger(), Lane("H26")
    first = h26.say(CANARY)
    ledger.take(first, h26.put(first.content))
    assert [entry.decision.rule for entry in ledger.entries] == ["event.canary", "event.duplicate"]
