"""Random lives of cases through the real ledger and a real caseworker, against a second reckoning: nobody who was late
is missing among the escalations, and nobody is there who was not."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timedelta
from random import Random

import pytest

from bus_events import Lane
from case_lives import AGENCIES, random_life
from casework_bench import CaseworkBench, casework_bench
from ledger_facts import rows
from portalbus.schemas.codec import Decoded
from portalbus.schemas.models import FeedbackProgressed, FeedbackReceived, FeedbackResolved
from portalbus.streams.judgement.docket import Item, lane_time
from second_reckoning import Reckoned, Told, reckoned

BATCHES = 40


def lived(bench: CaseworkBench, random: Random, lives: int) -> list[Item]:
    """Lives over years, taken in by the clock of the lanes, with a look at the timers after each batch."""
    lanes = {agency: Lane(agency) for agency in AGENCIES}
    for number in range(lives):
        random_life(random, f"{random.choice(AGENCIES)}-{number:04d}", number, lanes, random.randint(3, 25))
    items = sorted((item for lane in lanes.values() for item in lane.items), key=lambda item: item.record.timestamp_ms)
    size = len(items) // BATCHES + 1
    bench.slice = 500
    bench.worker = bench.caseworker()
    for start in range(0, len(items), size):
        batch = items[start : start + size]
        bench.take_in(AGENCIES if not start else (), batch)
        bench.work(lane_time(batch[-1].record.timestamp_ms))
    bench.now += timedelta(days=random.randint(0, 90), minutes=7)
    for _ in range(3):  # a tick fires 200 cases of a body at most
        bench.work()
    return items


def second_book(bench: CaseworkBench, items: list[Item]) -> dict[str, Reckoned]:
    """What was accepted, reckoned by hand."""
    by_place = {(item.record.agency, item.record.offset): item for item in items}
    told: dict[str, list[Told]] = defaultdict(list)
    accepted = "select agency, lane_offset, received_at from ledger.event where status = 'ACCEPTED' order by position"
    for agency, offset, heard in rows(bench.look, accepted):
        content = by_place[agency, offset].content
        assert isinstance(content, Decoded)
        payload = content.event.payload
        assert isinstance(payload, FeedbackReceived | FeedbackResolved | FeedbackProgressed)
        told[payload.case_id].append(Told(payload, agency, heard))
    return {case: reckoned(events) for case, events in told.items()}


def check(ledger_url: str, seed: int, lives: int) -> None:
    with casework_bench(ledger_url) as bench:
        book = second_book(bench, lived(bench, Random(seed), lives))
        now = bench.now
        assert len(book) > lives // 2
        told: dict[tuple[str, str], list[tuple[int, str, str, object]]] = defaultdict(list)
        found = "select case_id, duty, handling, agency, told_to, at from casework.escalation"
        for case, duty, handling, agency, told_to, at in rows(bench.look, found):
            told[case, duty].append((handling, agency, told_to, at))
        late = climbed = 0
        for case, one in book.items():
            stretched = {number for number, time in enumerate(one.times, 1) if time.stretched}
            answers = {number: agency for number, agency, *_ in told[case, "ANSWER"] if number not in stretched}
            assert answers == one.late_answers(now), case
            assert Counter((told_to, at) for _, _, told_to, at in told[case, "ACKNOWLEDGE"]) == one.told(now), case
            children = one.misses_children(now)
            assert [agency for _, agency, *_ in told[case, "CHILDREN"]] == ([children] if children else []), case
            late, climbed = late + len(answers), climbed + len(one.told(now))
        print(
            f"\nseed {seed}: {lives} lives, {late} late answers and {climbed} climbs up the ladder, as reckoned again"
        )
        assert late > lives // 5 and climbed > lives // 5, "these lives were all too quiet"
        before = bench.folded()
        bench.worker.forget()
        for _ in range(3):
            bench.work()
        assert bench.folded() == before


def test_escalations_are_those_of_a_second_reckoning(ledger_url: str) -> None:
    check(ledger_url, seed=1, lives=40)


@pytest.mark.chaos
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("seed", range(2, 7))
def test_escalations_of_three_hundred_lives_are_those_of_a_second_reckoning(ledger_url: str, seed: int) -> None:
    check(ledger_url, seed, lives=300)
