"""A promise that is broken is told in the round that sees it, and what is merely under way is taken for no fault."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random

import pytest

from bus_reading import BusAway
from doctored_history import BREAKS, broken, healed, judged, one, sound
from history_checker import HistoryTail, check
from history_report import Line
from online_checker import LOOKED_AT, LOOKED_BACK, ONLINE_STAGES, OnlineChecker
from promises import BrokenPromise

SAFETY = ("doubled", "reordered", "invented")
TOLD = [
    (kind, break_it) for kind, break_it in BREAKS if check(broken(kind, break_it), stages=ONLINE_STAGES).counts[kind]
]
"""What does not show in the store alone."""


class Written:
    """A bus of which everything is written down. Line after line happens, also between two reads, or all at once.

    With a `random` it happens a few lines at a time, and now and then somebody is away.
    """

    def __init__(self, lines: list[Line], random: Random | None = None) -> None:
        self.lines = lines
        self._random = random
        self._happened = 0 if random else len(lines)
        self._read: dict[str, int] = {}

    @property
    def over(self) -> bool:
        """True when everything has happened."""
        return self._happened == len(self.lines)

    def sent(self) -> Iterator[Line]:
        return self._new("canonical", "verdict")

    def decided(self, first: int, last: int) -> list[Line]:
        found = self.lines[: self._happened]
        self._go_on()
        placed = [line for line in found if line["saw"] in ("judged", "noticed") and first <= line["position"] <= last]
        return [*placed, *(line for line in found if line["saw"] == "gap")]

    def laid(self, up_to: Mapping[str, int]) -> Iterator[Line]:
        return self._new("laid")

    def said(self) -> Iterator[Line]:
        return self._new("attempted", "acknowledged")

    def close(self) -> None:
        pass

    def _new(self, *kinds: str) -> Iterator[Line]:
        for number in range(self._read.get(kinds[0], 0), min(self._happened, len(self.lines))):
            if self.lines[number]["saw"] in kinds:
                self._go_on()
                self._read[kinds[0]] = number + 1
                yield self.lines[number]

    def _go_on(self) -> None:
        if self._random:
            self._happened = min(len(self.lines), self._happened + self._random.choice((0, 0, 0, 1, 6)))
            if self._random.random() < 0.01:
                raise BusAway("the random number said so")


def rounds(lines: list[Line], random: Random | None = None) -> OnlineChecker:
    """What a checker has found when all has happened and was read."""
    bus = Written(lines, random)
    checker = OnlineChecker(bus)
    while not (bus.over and checker.round()):
        checker.round()
    while not checker.round():
        pass
    return checker


@pytest.mark.parametrize("seed", range(25))
def test_what_is_under_way_is_no_fault(seed: int) -> None:
    random = Random(seed)
    lines = sound(100)
    for number in range(len(lines) - 4, 0, -1):  # what is promised may be written down after it was delivered
        if lines[number]["saw"] == "acknowledged":
            lines.insert(number + random.randint(0, 3), lines.pop(number))
    checker = rounds(lines, random)
    assert checker.report.clean, checker.report
    assert checker.rounds > 5
    checker.must_have_seen(check(lines, late=10))


@pytest.mark.parametrize("seed", range(25))
def test_what_comes_late_into_a_gap_that_was_named_a_moment_before_is_no_fault(seed: int) -> None:
    lines = healed(30)
    assert check(lines).clean
    checker = rounds(lines, Random(seed))
    assert checker.report.clean, checker.report
    checker.must_have_seen(check(lines))


def test_rounds_in_which_somebody_was_away_count_nothing_twice() -> None:
    away = 0
    for seed in range(10):
        checker = rounds(sound(60), Random(seed))
        assert checker.report.clean
        assert checker.report.seen["laid"] == 60
        away += checker.away.total()
    assert away > 5


def test_all_safety_faults_but_those_of_the_store_are_told_while_it_happens() -> None:
    assert len(BREAKS) - len(TOLD) >= 3
    assert {kind for kind, _ in TOLD} >= set(SAFETY)


@pytest.mark.parametrize(("fault", "break_it"), [told for told in TOLD if told[0] in SAFETY])
def test_each_kind_of_fault_is_told_in_the_round_that_sees_it(
    fault: str, break_it: Callable[[list[Line]], None]
) -> None:
    history = broken(fault, break_it)
    checker = rounds(history)
    assert checker.rounds <= 2
    assert checker.report.counts[fault] == check(history, stages=ONLINE_STAGES).counts[fault] > 0


def test_a_record_judged_again_after_its_final_verdict_is_told() -> None:
    history = sound()
    history.append({**one(history, "judged"), "status": "REJECTED", "rule": "event.id-reused", "position": 8})
    assert "lane.H26@2 was judged again after its final verdict" in str(rounds(history).report)


def never_happened(lines: list[Line], event_id: str, *kinds: str) -> list[Line]:
    """Without lines of these kinds about an event; what the ledger says moves up."""
    gone = {line["position"] for line in lines if line["saw"] == "judged" and line["id"] == event_id}
    about = [line for line in lines if line.get("id") == event_id or line.get("position") in gone]
    left = [line for line in lines if line["saw"] not in kinds or line not in about]
    for line in left:
        if "position" in line:
            line["position"] -= sum(position < line["position"] for position in gone)
    return left


DECIDED = ("judged", "effect", "canonical", "verdict")


def test_an_acknowledged_event_that_its_source_has_passed_over_is_told_as_lost() -> None:
    lines = never_happened(sound(), "event-1", "laid", *DECIDED)
    report = rounds(lines).report
    assert "H26/edu 1/1 (event-1) was acknowledged, is on no lane, and nobody missed it" in str(report)
    gap = {"saw": "gap", "source": "H26/edu", "epoch": 1, "first": 1, "last": 1}
    assert rounds([gap, *lines]).report.clean, "it was missed: it will come"


def test_a_record_that_the_ledger_has_passed_over_is_told_as_lost() -> None:
    lines = never_happened(sound(), "event-3", *DECIDED)
    assert "H26/edu 1/2 (event-3) at lane.H26@3 was not judged when lane.H26@4 was" in str(rounds(lines).report)


def test_a_judgement_that_has_changed_since_it_was_read_is_told() -> None:
    bus = Written(sound(100))
    checker = OnlineChecker(bus)
    assert checker.round()
    one(bus.lines, "judged", 80).update(status="REJECTED", rule="event.id-reused")
    assert checker.round()
    assert checker.report.invented == ["position 81 of the ledger held something else before"]


def test_a_judgement_that_has_vanished_since_it_was_read_is_told() -> None:
    bus = Written(sound(100))
    checker = OnlineChecker(bus)
    assert checker.round()
    bus.lines[:] = [line for line in bus.lines if line["saw"] != "judged" or line["position"] <= 99]
    checker.round()
    assert [text.split(" of ")[0] for text in checker.report.lost] == ["position 100", "position 101"]


def test_a_change_far_back_is_told_at_the_latest_when_all_is_over() -> None:
    bus = Written(sound(10 * LOOKED_BACK))
    with OnlineChecker(bus, every=60) as checker:
        assert checker.round()
        one(bus.lines, "judged", 40).update(status="REJECTED", rule="event.id-reused")
        with pytest.raises(BrokenPromise, match="position 41 of the ledger held something else before"):
            checker.finish(5)


def test_who_waits_for_the_test_hears_of_it_at_once_with_what_the_test_knows() -> None:
    lines = sound(50)
    bus = Written(lines)
    with OnlineChecker(bus, context=lambda: "seed 7", every=0.02) as checker:
        deadline = time.monotonic() + 20
        while checker.rounds < 3 and time.monotonic() < deadline:
            checker.must_be_clean()
        lines.append({**one(lines, "canonical"), "offset": 999})
        bus._happened = len(lines)
        with pytest.raises(BrokenPromise, match=r"1 doubled(?s:.*)canonical 4 was sent more than once(?s:.*)seed 7"):
            while time.monotonic() < deadline:
                checker.must_be_clean()
                time.sleep(0.01)


def test_a_checker_that_cannot_go_on_says_so() -> None:
    bus = Written([{"saw": "laid"}])
    with OnlineChecker(bus, every=0.01) as checker, pytest.raises(KeyError):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            checker.must_be_clean()
            time.sleep(0.01)


def test_a_checker_that_saw_less_than_there_was_is_not_trusted() -> None:
    lines = sound()
    checker = rounds(lines)
    lines.append(judged({"id": "event-9", "source": "H26/www", "epoch": 1, "sequence": 9}, 9, 8))
    with pytest.raises(AssertionError, match="judged while it happened"):
        checker.must_have_seen(check(lines))
    assert set(LOOKED_AT) <= set(checker.report.seen)


def test_a_history_file_is_read_on_as_it_grows_by_whole_lines(tmp_path: Path) -> None:
    file = tmp_path / "history.ndjson"
    texts = [json.dumps(line) + "\n" for line in sound()]
    tail = HistoryTail(file)
    with file.open("w") as writing:
        writing.write("".join(texts[:2]) + texts[2][:10])
        writing.flush()
        assert len(list(tail.read())) == 2
        assert list(tail.read()) == []
        writing.write(texts[2][10:] + texts[3])
        writing.flush()
        assert list(tail.read()) == sound()[2:4]
