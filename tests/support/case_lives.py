"""Random lives of cases over several lanes, and second books: who has each case, its stage, and what it is owed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

from bus_events import Lane, answer, progress, receipt
from memory_ledger import MemoryLedger
from portalbus.schemas.codec import Decoded
from portalbus.schemas.law.calendar import WorkingCalendar
from portalbus.schemas.law.regimes import Regimes
from portalbus.schemas.models import (
    CaseStep,
    CaseUrgency,
    FeedbackProgressed,
    FeedbackReceived,
    FeedbackResolved,
    VerdictStatus,
)
from portalbus.streams.casework.deriving import Law, Moments, derive
from portalbus.streams.casework.folding import fold
from portalbus.streams.casework.life import Life
from portalbus.streams.casework.reading import CaseEvent
from portalbus.streams.judgement.case_steps import ENDINGS, OPEN, TABLE, CaseStage
from portalbus.streams.judgement.docket import Item

AGENCIES = ("G22", "H26", "H29", "H31", "H32")
TARGETS = ("G22", "H26", "H29", "H31", "H32", "H02", "G07", "H29.01")
"""Bodies to transfer to: such that exist, one with a single successor, one with several, a sub-unit."""

SUCCESSOR = {"H02": "H05"}
ENDED = frozenset({"SPLIT", "DIVERTED"})
ENDS = (CaseStep.SPLIT, CaseStep.DIVERTED, CaseStep.WITHDRAWN)
SAID = (*(step for step in CaseStep if step not in ENDS), *CaseStep, *[CaseStep.TRANSFERRED] * 4, *[None] * 8)
"""What is said how often; None is an answer. What ends a case is said less."""
LAW = Law(1, WorkingCalendar.read(), Regimes.read())
LONGEST_PAUSE = 3_000
"""Minutes between two things that a body says, at most: a life lasts weeks."""


def random_life(
    random: Random, case: str, code: int, lanes: dict[str, Lane], length: int, mishaps: float = 0
) -> list[Item]:
    """What several bodies say of one case, sensible or not, in a random order: also before it was received.

    A share of it meets with a mishap: it comes twice, or it is lost on its way and sent again at the end of the life.
    """
    said: list[tuple[str, FeedbackReceived | FeedbackResolved | FeedbackProgressed]] = []
    for _ in range(length):
        step = random.choice(SAID)
        agency = "G22" if step is CaseStep.ANSWER_RETURNED else random.choice(AGENCIES)
        values: dict[str, Any] = {"to_agency": random.choice(TARGETS)} if step is CaseStep.TRANSFERRED else {}
        if step is CaseStep.SPLIT:
            values = {"children": (f"{agency}-of-{case}-1", f"{agency}-of-{case}-2")}
        said.append((agency, answer(case) if step is None else progress(step, case, **values)))
    urgent = random.random() < 0.2
    received = receipt(
        case,
        code,
        regime=f"R{random.randint(1, 7)}",
        urgency=CaseUrgency.URGENT if urgent else CaseUrgency.NORMAL,
    )
    said.insert(random.choice((0, 0, random.randint(0, length))), (case.partition("-")[0], received))
    items, lost = [], []
    for agency, payload in said:
        lane = lanes[agency]
        mishap = random.random() < mishaps
        if mishap and random.random() < 0.5:
            lost.append((lane, payload, lane.next_envelope().sequence))
            continue
        items.append(_say(lane, payload, random))
        if mishap:
            items.append(lane.again(items[-1]))
    return items + [_say(lane, payload, random, sequence=sequence) for lane, payload, sequence in lost]


def _say(
    lane: Lane, payload: FeedbackReceived | FeedbackResolved | FeedbackProgressed, random: Random, **place: Any
) -> Item:
    after = timedelta(minutes=random.randint(0, LONGEST_PAUSE), milliseconds=1)
    moment = "received_at" if isinstance(payload, FeedbackReceived) else "at"
    moment = "answered_at" if isinstance(payload, FeedbackResolved) else moment
    return lane.say(payload.model_copy(update={moment: lane.now}), after=after, **place)


def check_lives(ledger: MemoryLedger, items: list[Item]) -> None:
    """Each case has one owner, the one of the second book; and nothing was accepted that its stage forbids."""
    payloads = {}
    for item in items:
        assert isinstance(item.content, Decoded)
        payloads[item.record.agency, item.record.offset] = item.content.event.payload
    owners: dict[str, list[str]] = {}
    ended: set[str] = set()
    answered: dict[str, bool] = {}
    for entry in ledger.entries:
        if entry.decision.status is not VerdictStatus.ACCEPTED:
            continue
        payload = payloads[entry.agency, entry.lane_offset]
        assert isinstance(payload, FeedbackReceived | FeedbackResolved | FeedbackProgressed)
        case = payload.case_id
        assert case not in ended, "something happened to a case that was split or diverted"
        if isinstance(payload, FeedbackReceived):
            assert case not in owners, "received twice"
            owners[case] = [payload.addressed_to]
        elif isinstance(payload, FeedbackResolved):
            assert not answered.get(case), "answered twice"
            answered[case] = True
        else:
            _follow(payload, entry.agency, owners[case], answered)
            if payload.step.value in ENDED:
                ended.add(case)
    for case, passed in owners.items():
        state = ledger.history.cases[case]
        assert state.owner == passed[-1], "another owner than the transfers say"
        assert state.is_resolved == answered.get(case, False)
        assert not (state.is_resolved and state.stage in OPEN)
    assert set(ledger.history.cases) == set(owners)


def _follow(payload: FeedbackProgressed, agency: str, passed: list[str], answered: dict[str, bool]) -> None:
    case = payload.case_id
    if payload.step is CaseStep.TRANSFERRED:
        to = payload.to_agency or ""
        to = SUCCESSOR.get(to, to)
        assert agency in (passed[-1], passed[-1].partition(".")[0], "G22"), "transferred by somebody else"
        assert not answered.get(case), "an answered case was transferred"
        assert "G22" in (to, agency) or to not in passed, "a loop"
        bodies = [one.partition(".")[0] for one in passed]
        inside = to.partition(".")[0] == bodies[-1]
        assert "G22" in (to, agency) or inside or to.partition(".")[0] not in bodies, "a loop by way of a unit"
        assert len(passed) <= 4 or "G22" in (to, agency), "passed on for ever"
        passed.append(to)
    elif payload.step is CaseStep.REOPENED:
        passed[:] = passed[-1:]
        answered[case] = False
    elif payload.step is CaseStep.ANSWER_RETURNED:
        assert agency == "G22"
        assert answered.get(case), "an answer was returned that nobody gave"
        answered[case] = False


def check_stages(ledger: MemoryLedger, items: list[Item]) -> None:
    """Every step that was accepted stands in the table at the stage that those before it led to."""
    stages: dict[str, CaseStage] = {}
    for told in _accepted(ledger, items):
        payload, stage = told.event.payload, stages.get(told.case_id)
        if isinstance(payload, FeedbackReceived):
            assert stage is None
            stages[told.case_id] = CaseStage.RECEIVED
        elif isinstance(payload, FeedbackResolved):
            assert stage in OPEN, "answered where nothing was open"
            stages[told.case_id] = ENDINGS[payload.outcome]
        elif isinstance(payload, FeedbackProgressed):
            assert stage is not None and payload.step in TABLE[stage], "an illegal step"
            stages[told.case_id] = TABLE[stage][payload.step]
    assert {case: state.stage for case, state in ledger.history.cases.items()} == stages


def check_clocks(ledger: MemoryLedger, items: list[Item], now: datetime) -> None:
    """One body after the other has a case and nobody at the same time; nothing is missed that is not escalated."""
    lives: dict[str, Life | None] = {}
    for told in _accepted(ledger, items):
        lives[told.case_id] = fold(lives.get(told.case_id), told)
    assert set(lives) == set(ledger.history.cases)
    for case, life in lives.items():
        assert life is not None
        state = ledger.history.cases[case]
        for before, after in pairwise(life.handlings):
            assert before.ended is not None and before.ended <= after.received, "two bodies have it at once"
        assert (life.now.ended is None) == (state.stage in OPEN), "nobody has an open case, or somebody an ended one"
        assert state.stage not in OPEN or life.now.agency == state.owner
        found = derive(life, LAW, Moments(now, lambda _: now))
        missed = {(row.handling, row.duty, row.number) for row in found.deadlines if row.state in ("MISSED", "LATE")}
        assert missed == {(row.handling, row.duty, row.number) for row in found.escalations}, "missed in silence"
        for row in found.deadlines:
            assert row.state != "OPEN" or (row.due_at is not None and row.due_at > now), "due, and not seen"


def check_shown(ledger: MemoryLedger, items: list[Item]) -> None:
    """No answer was returned that could have been seen."""
    shown_from: dict[str, datetime] = {}
    for told in _accepted(ledger, items):
        payload = told.event.payload
        if isinstance(payload, FeedbackResolved):
            shown_from[told.case_id] = told.heard + ledger.bounds.review
        elif isinstance(payload, FeedbackProgressed) and payload.step is CaseStep.PUBLISHED:
            if told.event.envelope.agency == "G22":
                shown_from[told.case_id] = min(told.heard, shown_from[told.case_id])
        elif isinstance(payload, FeedbackProgressed) and payload.step is CaseStep.ANSWER_RETURNED:
            assert told.heard < shown_from[told.case_id], "an answer was returned that had been shown"


def _accepted(ledger: MemoryLedger, items: list[Item]) -> Iterator[CaseEvent]:
    """What was accepted, in ledger order, as casework reads it."""
    by_place = {(item.record.agency, item.record.offset): item.content for item in items}
    for entry in ledger.entries:
        content = by_place[entry.agency, entry.lane_offset]
        if entry.decision.status is VerdictStatus.ACCEPTED and isinstance(content, Decoded):
            event = content.event
            yield CaseEvent(entry.position, event.key, event.envelope.id, entry.received_at, event)
