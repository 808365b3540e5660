"""Random lives of cases over several lanes, and a second book of who has each case."""

from __future__ import annotations

from random import Random

from bus_events import Lane, answer, progress, receipt
from memory_ledger import MemoryLedger
from portalbus.schemas.codec import Decoded
from portalbus.schemas.models import CaseStep, FeedbackProgressed, FeedbackReceived, FeedbackResolved, VerdictStatus
from portalbus.streams.judgement.case_steps import OPEN
from portalbus.streams.judgement.docket import Item

AGENCIES = ("G22", "H26", "H29", "H31", "H32")
TARGETS = ("G22", "H26", "H29", "H31", "H32", "H02", "G07", "H29.01")
"""Bodies to transfer to: such that exist, one with a single successor, one with several, a sub-unit."""

SUCCESSOR = {"H02": "H05"}
ENDED = frozenset({"SPLIT", "DIVERTED"})


def random_life(random: Random, case: str, code: int, lanes: dict[str, Lane], length: int) -> list[Item]:
    """What several bodies say of one case, sensible or not, in a random order: also before it was received."""
    said: list[tuple[str, FeedbackReceived | FeedbackResolved | FeedbackProgressed]] = []
    for _ in range(length):
        step = random.choice([*CaseStep, CaseStep.TRANSFERRED, CaseStep.TRANSFERRED, None])
        agency = random.choice(AGENCIES)
        values = {"to_agency": random.choice(TARGETS)} if step is CaseStep.TRANSFERRED else {}
        said.append((agency, answer(case) if step is None else progress(step, case, **values)))
    said.insert(random.choice((0, 0, random.randint(0, length))), (case.partition("-")[0], receipt(case, code)))
    return [lanes[agency].say(payload) for agency, payload in said]


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
        assert len(passed) <= 4 or "G22" in (to, agency), "passed on for ever"
        passed.append(to)
    elif payload.step is CaseStep.REOPENED:
        passed[:] = passed[-1:]
        answered[case] = False
    elif payload.step is CaseStep.ANSWER_RETURNED:
        assert agency == "G22"
        assert answered.get(case), "an answer was returned that nobody gave"
        answered[case] = False
