"""What holds for every history: judged lane by lane in order, it ends the same, however it is interleaved and cut.

What depends on the order of reading, and must: which of two answers wins when both agencies that may answer a case
do; who gets a public code that two cases claim; who finds the waiting room full; who has waited too long.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus_events import NOON
from histories import AGENCIES, Past, assert_holes, past, predicted
from memory_ledger import MemoryLedger
from portalbus.schemas.codec import Decoded
from portalbus.schemas.models import VerdictStatus
from portalbus.streams.judgement.decision import OPEN

LATER = NOON + timedelta(days=1)
SEEDS = st.integers(0, 2**32)
HISTORIES = st.builds(past, st.randoms(use_true_random=False), st.integers(1, 60))
MANY = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)


def judged(history: Past, seed: int) -> MemoryLedger:
    """The ledger after one of the ways to interleave a history and to cut it into batches."""
    random = Random(seed)
    items = history.interleaved(random)
    ledger = MemoryLedger()
    ledger.take_in_batches(items, random.sample(range(len(items)), min(len(items), random.randint(0, 12))))
    return ledger


def ended(ledger: MemoryLedger, seed: int) -> MemoryLedger:
    """The ledger after every lane has come to its end: nothing is held behind a gap any more."""
    for agency in Random(seed).sample(AGENCIES, len(AGENCIES)):
        ledger.pass_time(agency, LATER)
    assert not any(source.held for source in ledger.history.sources.values())
    assert not any(ledger.history.held.values())
    return ledger


@MANY
@given(HISTORIES, SEEDS)
def test_every_interleaving_and_cutting_ends_as_the_model_says(history: Past, seed: int) -> None:
    ledger = ended(judged(history, seed), seed)
    said = predicted(history)
    assert_holes(ledger, said)
    assert ledger.titles == said.versions
    assert {key: state.withdrawn for key, state in ledger.history.directives.items()} == said.withdrawn
    cases = ledger.history.cases
    assert {case_id: (case.receiver, case.owner) for case_id, case in cases.items()} == said.cases
    assert {case_id for case_id, case in cases.items() if case.is_resolved} == set(said.answers)
    for case_id, (_, record) in ledger.answers.items():
        assert record in said.answers[case_id], "the first answer of one of the agencies that may answer"


@MANY
@given(HISTORIES, SEEDS, SEEDS)
def test_two_orders_of_reading_give_each_record_the_same_verdict_but_where_two_agencies_answer(
    history: Past, one: int, two: int
) -> None:
    said = predicted(history)
    disputed = {case_id for case_id, records in said.answers.items() if len(records) > 1}
    seen = []
    for seed in (one, two):
        last = {
            (entry.agency, entry.lane_offset): entry.decision.rule
            for entry in ended(judged(history, seed), seed).entries
            if entry.key not in disputed
        }
        seen.append(last)
    assert seen[0] == seen[1]


@MANY
@given(HISTORIES, SEEDS)
def test_each_record_has_one_entry_and_one_more_for_its_release_and_at_most_one_is_final(
    history: Past, seed: int
) -> None:
    ledger = judged(history, seed)
    positions = [entry.position for entry in ledger.entries]
    assert positions == sorted(set(positions)), "notices have the others"
    assert len(positions) + len(ledger.notices) == ledger.next_position - 1
    fresh = Counter((entry.agency, entry.lane_offset) for entry in ledger.entries if entry.fresh)
    assert len(fresh) == history.records
    assert set(fresh.values()) == {1}
    released = Counter((entry.agency, entry.lane_offset) for entry in ledger.entries if not entry.fresh)
    assert set(released.values()) <= {1, 2}, "first behind a gap, then for its cause"
    rooms = (*ledger.history.waiting.values(), *ledger.history.held.values())
    in_the_room = {seat.place for room in rooms for seat in room}
    for place in fresh:
        decisions = [entry.decision for entry in ledger.entries if (entry.agency, entry.lane_offset) == place]
        assert [decision.final for decision in decisions[:-1]] == [False] * (len(decisions) - 1)
        assert (decisions[-1].status is VerdictStatus.WAITING) == (place in in_the_room)


@MANY
@given(HISTORIES, SEEDS)
def test_nobody_waits_for_what_has_come(history: Past, seed: int) -> None:
    ledger = judged(history, seed)
    for key, room in ledger.history.waiting.items():
        for seat in room:
            payload = seat.decoded.event.payload
            if payload.event_type in ("FeedbackResolved", "FeedbackProgressed"):
                assert key not in ledger.history.cases
            else:
                head = ledger.history.directives.get(key)
                assert getattr(payload, "version", 0) > (head.version if head else 0) + 1
                assert head is None or not head.withdrawn


@MANY
@given(HISTORIES, SEEDS)
def test_an_event_id_is_claimed_once_and_the_source_knows_every_place(history: Past, seed: int) -> None:
    ledger = judged(history, seed)
    claims = Counter(
        (entry.agency, entry.envelope.id)
        for entry in ledger.entries
        if entry.fresh and entry.envelope and entry.claims_id
    )
    assert set(claims.values()) <= {1}
    for (agency, portal), source in ledger.history.sources.items():
        heard = {
            content.event.envelope.sequence
            for _, content in history.lanes[agency].items
            if isinstance(content, Decoded)
            and (content.event.envelope.agency, content.event.envelope.portal) == (agency, portal)
            and content.event.envelope.epoch == source.epoch
        }
        missing = {
            sequence
            for gap in source.gaps.values()
            if gap.epoch == source.epoch
            for sequence in range(gap.first, gap.last + 1)
        }
        assert missing == set(range(1, source.last_sequence + 1)) - heard


@MANY
@given(HISTORIES, SEEDS)
def test_judging_is_deterministic(history: Past, seed: int) -> None:
    assert judged(history, seed).entries == judged(history, seed).entries


@MANY
@given(HISTORIES, SEEDS, st.data())
def test_sending_a_beginning_of_every_lane_again_changes_nothing(history: Past, seed: int, data: st.DataObject) -> None:
    ledger = ended(judged(history, seed), seed)
    before, answers, sources = ledger.state(), dict(ledger.answers), dict(ledger.history.sources)
    waiting = {key: len(room) for key, room in ledger.history.waiting.items() if room}
    for lane in history.lanes.values():
        again = [lane.again(item) for item in lane.items[: data.draw(st.integers(0, len(lane.items)))]]
        entries = ledger.take(*again)
        assert {entry.decision.rule for entry in entries} <= {
            "event.duplicate",
            "event.id-reused",
            "lane.agency-mismatch",
            "record.not-avro",
        }
    assert (ledger.state(), ledger.answers) == (before, answers)
    assert {key: len(room) for key, room in ledger.history.waiting.items() if room} == waiting
    for name, source in ledger.history.sources.items():
        assert (source.epoch, source.last_sequence) == (sources[name].epoch, sources[name].last_sequence)
        assert source.gaps == sources[name].gaps


def test_the_histories_hold_every_kind_of_verdict_that_a_history_can() -> None:
    seen = {
        entry.decision.rule
        for seed in range(40)
        for entry in ended(judged(past(Random(seed), 60), seed), seed).entries
        if entry.decision.status not in OPEN or entry.decision.rule.startswith(("case.", "directive."))
    }
    assert seen == {
        "event.accepted",
        "event.duplicate",
        "event.id-reused",
        "lane.agency-mismatch",
        "source.sequence-reused",
        "directive.version-stale",
        "directive.already-withdrawn",
        "directive.waits-for-version",
        "case.already-received",
        "case.already-resolved",
        "case.not-owner",
        "case.not-yours",
        "case.step-not-allowed",
        "case.waits-for-receipt",
    }
