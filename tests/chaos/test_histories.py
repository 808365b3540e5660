"""Ten thousand generated histories end as a model predicts that shares no code with the judge.

Two kinds. Sound ones: what portals said, dropped on the way and sent again later, repeated, and read in any order of
the lanes: all of it takes effect, as it was said. Wild ones (`histories.py`): with reused ids and places, foreign
envelopes and rubbish among them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus_events import Lane
from histories import ELSEWHERE, Past, assert_holes, past, predicted
from memory_ledger import MemoryLedger
from portalbus.schemas.models import (
    DirectivePublished,
    FeedbackProgressed,
    FeedbackReceived,
    FeedbackResolved,
    VerdictStatus,
)
from portalbus.streams.judgement.docket import Item, lane_time
from simulator.story import Said, Story

SOURCES = ("H26/www", "H26/edu", "H29/www", "G22/www")
AGENCIES = ("H26", "H29", "G22")
pytestmark = pytest.mark.flaky(reruns=0)
"""Fresh choices each time: a second run would prove nothing."""
CHOICES = st.randoms(use_true_random=False)
"""Where every choice of a history comes from: hypothesis makes them, so that it can take them back when it shrinks."""
FEW = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
MANY = settings(FEW, max_examples=10_000, database=None)
LIVED: Counter[str] = Counter()
"""What the histories of a test held."""


@pytest.fixture(autouse=True)
def _figures() -> Iterator[None]:
    """Prints at the end of each test what was tried in it."""
    LIVED.clear()
    yield
    print("\n" + ", ".join(f"{count} {what}" for what, count in LIVED.items()))


@dataclass
class SoundPast:
    """Lanes with what portals said, each source under sequences without a hole, but not always in their order."""

    random: Random
    story: Story
    lanes: dict[str, Lane] = field(default_factory=lambda: {agency: Lane(agency) for agency in AGENCIES})
    dropped: dict[str, list[tuple[int, Said]]] = field(default_factory=lambda: defaultdict(list))
    follows: dict[tuple[str, int], dict[str, int]] = field(default_factory=dict)
    passed: set[str] = field(default_factory=set)
    """Cases that were passed on: who speaks of them has heard what came before."""
    _sequences: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _laid: dict[str, tuple[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.story.heard = self._is_heard

    def say(self) -> None:
        """One source says the next thing; it may be dropped, and what was dropped may be sent again."""
        source = self.random.choice(SOURCES)
        said = self.story.next(source)
        self._sequences[source] += 1
        if isinstance(said.payload, FeedbackProgressed):
            self.passed.add(said.key)
        if self.random.random() < 0.12:
            LIVED["dropped and sent again"] += 1
            self.dropped[source].append((self._sequences[source], said))
        else:
            self._lay(self._sequences[source], said)
        if self.random.random() < 0.1:
            self.resend(self.random.choice(SOURCES))
        lane = self.lanes[self.random.choice(AGENCIES)]
        if lane.items and self.random.random() < 0.1:
            LIVED["sent twice"] += 1
            lane.again(self.random.choice(lane.items))

    def resend(self, source: str) -> None:
        """What was dropped of a source comes after all, in order."""
        for sequence, said in self.dropped.pop(source, []):
            self._lay(sequence, said)

    def _lay(self, sequence: int, said: Said) -> None:
        agency, portal = said.source.split("/")
        after = timedelta(seconds=self.random.choice((0.001, 0.001, 0.1, 3.0, 40.0)))
        if said.key in self.passed:
            self.follows[agency, len(self.lanes[agency].items)] = {
                lane.agency: len(lane.items) for lane in self.lanes.values()
            }
        self.lanes[agency].say(said.payload, portal=portal, sequence=sequence, after=after)
        self._laid[said.event_id] = said.source, sequence

    def _is_heard(self, event_id: str) -> bool:
        """True when this event and all of its source before it were laid: then it takes effect when they are read."""
        source, place = self._laid.get(event_id, ("", 0))
        return place > 0 and all(sequence > place for sequence, _ in self.dropped.get(source, ()))

    def interleaved(self, random: Random) -> list[Item]:
        """All records, each lane in its order, and nothing before what its sender had heard."""
        return Past(random, self.lanes, self.follows).interleaved(random)


def sound_past(random: Random, events: int) -> SoundPast:
    """A history in which everything comes in the end."""
    found = SoundPast(random, Story(random, AGENCIES))
    for _ in range(events):
        found.say()
    for source in SOURCES:
        found.resend(source)
    return found


def judged(items: list[Item], random: Random) -> MemoryLedger:
    """The ledger after these records, cut into batches somehow, and after every lane has come to its end."""
    ledger = MemoryLedger()
    ledger.take_in_batches(items, random.sample(range(len(items)), min(len(items), random.randint(0, 12))))
    end = max(lane_time(item.record.timestamp_ms) for item in items) + timedelta(days=1)
    for agency in random.sample(AGENCIES, len(AGENCIES)):
        ledger.pass_time(agency, end)
    return ledger


def check_sound(random: Random, events: int) -> None:
    """Everything that was said took effect once, and the store is what was said."""
    history = sound_past(random, events)
    ledger = judged(history.interleaved(random), random)
    accepted = [
        entry.envelope.id
        for entry in ledger.entries
        if entry.decision.status is VerdictStatus.ACCEPTED and entry.envelope is not None
    ]
    assert len(accepted) == len(set(accepted)) == len(history.story.said)
    titles: dict[str, list[str]] = defaultdict(list)
    cases: dict[str, tuple[str, bool]] = {}
    for said in history.story.said.values():
        payload = said.payload
        if isinstance(payload, DirectivePublished):
            titles[said.key].append(payload.title)
        elif isinstance(payload, FeedbackReceived):
            cases[said.key] = payload.addressed_to, False
        elif isinstance(payload, FeedbackProgressed):
            cases[said.key] = payload.to_agency or "", False
        elif isinstance(payload, FeedbackResolved):
            cases[said.key] = cases[said.key][0], True
    LIVED["sound histories"] += 1
    LIVED["events"] += len(history.story.said)
    LIVED["cases passed on"] += len(history.passed)
    LIVED["revised"] += sum(len(versions) - 1 for versions in titles.values())
    assert ledger.titles == titles
    assert {case_id: (case.owner, case.is_resolved) for case_id, case in ledger.history.cases.items()} == cases
    assert not any(source.gaps for source in ledger.history.sources.values())
    assert not any(ledger.history.waiting.values())


def check_wild(random: Random, steps: int) -> None:
    """The store is what the model says of the lanes."""
    history = past(random, steps)
    ledger = judged(history.interleaved(random), random)
    said = predicted(history)
    assert_holes(ledger, said)
    LIVED["wild histories"] += 1
    LIVED["holes listed"] += len(said.holes)
    LIVED["records"] += history.records
    LIVED["cases passed on"] += sum(owner in ELSEWHERE for _, owner in said.cases.values())
    assert ledger.titles == said.versions
    assert {key: state.withdrawn for key, state in ledger.history.directives.items()} == said.withdrawn
    cases = ledger.history.cases
    assert {case_id: (case.receiver, case.owner) for case_id, case in cases.items()} == said.cases
    assert {case_id for case_id, case in cases.items() if case.is_resolved} == set(said.answers)


@FEW
@given(CHOICES, st.integers(1, 60))
def test_what_was_dropped_and_sent_again_takes_effect_as_it_was_said(random: Random, events: int) -> None:
    check_sound(random, events)


@pytest.mark.chaos
@pytest.mark.timeout(1_800)
@MANY
@given(CHOICES, st.integers(1, 60))
def test_the_same_ten_thousand_times(random: Random, events: int) -> None:
    check_sound(random, events)


@pytest.mark.chaos
@pytest.mark.timeout(1_800)
@MANY
@given(CHOICES, st.integers(1, 60))
def test_ten_thousand_wild_histories_end_as_the_model_says(random: Random, steps: int) -> None:
    check_wild(random, steps)
