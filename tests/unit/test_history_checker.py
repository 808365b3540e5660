"""A checker that has never failed is not to be trusted: each kind of fault, put into a sound history, is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from history_checker import FAULTS, Line, check, main
from promises import BrokenPromise

EVENTS = 6


def sound() -> list[Line]:
    """A history of two sources on one lane, in which everything went well; one event waited for its cause."""
    lines: list[Line] = []
    position = 0
    for n in range(EVENTS):
        source, sequence = ("H26/www", "H26/edu")[n % 2], n // 2 + 1
        event = {"id": f"event-{n}", "source": source, "epoch": 1, "sequence": sequence}
        lines += [
            {"saw": "attempted", "id": event["id"], "source": source},
            {"saw": "acknowledged", **event, "at": 100.0 + n},
            {"saw": "laid", "lane": "lane.H26", "offset": n, **event, "hash": f"words-{n}"},
        ]
        position += 1
        lines.append(judged(event, n, position, waits=n == 0))
        lines += sent(event, n, position, accepted=n != 0)
        if n == 2:  # the cause has come
            first = {"id": "event-0", "source": "H26/www", "epoch": 1, "sequence": 1}
            position += 1
            lines.append(judged(first, 0, position))
            lines += sent(first, 0, position)
    return lines


def judged(event: Line, offset: int, position: int, *, waits: bool = False) -> Line:
    """The ledger's judgement: accepted, or waiting."""
    decision = {"status": "ACCEPTED", "final": True, "rule": "event.accepted"}
    if waits:
        decision = {"status": "WAITING", "final": False, "rule": "directive.waits-for-version"}
    where = {"saw": "judged", "lane": "lane.H26", "offset": offset, "position": position, "at": 101.0 + offset}
    return {**where, **event, "type": "DirectivePublished", "key": f"H26/d-{offset}", **decision}


def sent(event: Line, offset: int, position: int, *, accepted: bool = True) -> list[Line]:
    """What follows from a judgement."""
    verdict = {"saw": "verdict", "topic": "verdict.H26", "partition": 0, "offset": position, "position": position}
    if not accepted:
        return [verdict]
    shown = {"id": event["id"], "type": "DirectivePublished", "key": f"H26/d-{offset}", "position": position}
    canonical = {"topic": "central.directive-published", "partition": offset % 3, "offset": position}
    return [
        verdict,
        {"saw": "effect", **shown},
        {"saw": "canonical", **canonical, "position": position, "id": event["id"], "hash": f"words-{offset}"},
    ]


def one(lines: list[Line], saw: str, number: int = 2) -> Line:
    """One of the lines of a kind."""
    return [line for line in lines if line["saw"] == saw][number]


def without(saw: str) -> Callable[[list[Line]], None]:
    return lambda lines: lines.remove(one(lines, saw))


def again(saw: str, **changed: object) -> Callable[[list[Line]], None]:
    return lambda lines: lines.append({**one(lines, saw), **changed})


def changed(saw: str, number: int = 2, **values: object) -> Callable[[list[Line]], None]:
    return lambda lines: one(lines, saw, number).update(values)


def swapped(saw: str, name: str, first: int, second: int) -> Callable[[list[Line]], None]:
    def swap(lines: list[Line]) -> None:
        one_of, other = one(lines, saw, first), one(lines, saw, second)
        one_of[name], other[name] = other[name], one_of[name]

    return swap


def test_a_sound_history_is_clean_and_counted() -> None:
    report = check(sound(), late=10)
    assert report.clean, report
    assert report.seen["judged"] == EVENTS + 1
    assert report.slowest == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("fault", "break_it"),
    [
        ("lost", without("laid")),
        ("lost", without("judged")),
        ("lost", without("effect")),
        ("lost", without("canonical")),
        ("lost", without("verdict")),
        ("doubled", again("acknowledged", sequence=9)),
        ("doubled", changed("acknowledged", sequence=1, epoch=1)),
        ("doubled", again("judged", position=8)),
        ("doubled", again("judged")),
        ("doubled", again("effect")),
        ("doubled", again("canonical", offset=99)),
        ("doubled", again("verdict", offset=99)),
        ("reordered", swapped("laid", "sequence", 1, 3)),
        ("reordered", swapped("judged", "position", 1, 5)),
        ("reordered", swapped("verdict", "offset", 1, 2)),
        ("reordered", swapped("canonical", "position", 0, 4)),
        ("invented", without("acknowledged")),
        ("invented", changed("laid", id="event-of-nobody")),
        ("invented", again("laid", hash="other words", offset=6)),
        ("invented", changed("judged", offset=77)),
        ("invented", changed("effect", key="H26/another")),
        ("invented", again("canonical", position=8, offset=99)),
        ("invented", again("verdict", position=8, offset=99)),
        ("invented", changed("canonical", hash="other words")),
        ("late", changed("judged", at=200.0)),
        ("undecided", changed("judged", status="WAITING", final=False, rule="case.waits-for-receipt")),
        ("undecided", again("judged", status="REJECTED", rule="event.id-reused", position=8)),
        ("undecided", without("judged")),
    ],
)
def test_each_kind_of_fault_is_named(fault: str, break_it: Callable[[list[Line]], None]) -> None:
    history = sound()
    if fault == "invented":
        for line in [line for line in history if line["saw"] == "attempted"]:
            history.remove(line)  # what nobody has tried is invented
    break_it(history)
    report = check(history, late=10)
    assert report.counts[fault] > 0, report


def refused(lines: list[Line]) -> None:
    """The third event, wrongly refused: nothing of it is shown or sent."""
    event = one(lines, "judged")
    event.update(status="REJECTED", rule="source.sequence-reused")
    for saw in ("effect", "canonical"):
        lines[:] = [line for line in lines if line["saw"] != saw or line["position"] != event["position"]]


def test_a_refusal_is_a_loss_where_nothing_deserved_one() -> None:
    history = sound()
    refused(history)
    assert check(history).clean
    assert check(history, all_sound=True).counts["lost"] == 1
    with pytest.raises(BrokenPromise, match=r"refused by source\.sequence-reused(?s:.*)seed 7"):
        check(history, all_sound=True).must_be_clean("seed 7")


def test_an_event_in_a_gap_that_the_ledger_has_named_comes_late_and_rightly_so() -> None:
    history = sound()
    swapped("laid", "sequence", 1, 3)(history)
    swapped("laid", "id", 1, 3)(history)
    history.append({"saw": "gap", "source": "H26/edu", "epoch": 1, "first": 1, "last": 1})
    assert check(history, stages=("laid",)).counts["reordered"] == 0


def test_a_position_that_went_to_a_notice_is_not_missing() -> None:
    history = [*sound(), {"saw": "noticed", "position": EVENTS + 2}]
    assert check(history).clean
    history[-1]["position"] += 1
    assert check(history).counts["lost"] == 1


def test_a_store_without_a_ledger_is_checked_by_its_effects_alone() -> None:
    history: list[Line] = []
    for n in range(1, 6):
        event = {"id": f"e-{n}", "source": "H26/www", "epoch": 1, "sequence": n}
        history += [{"saw": "acknowledged", **event}, {"saw": "effect", **event, "position": n}]
    assert check(history, stages=("effect",)).clean
    history[3]["id"] = "e-1"  # the second took effect as the first, once more
    counts = check(history, stages=("effect",)).counts
    assert (counts["lost"], counts["doubled"]) == (1, 1)
    history[5]["position"], history[7]["position"] = 4, 3
    assert check(history, stages=("effect",)).counts["reordered"] == 1


def test_as_a_program_it_says_so_by_its_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "history.ndjson"
    lines = [json.dumps(line) + "\n" for line in sound()]
    file.write_text("".join(lines) + '{"saw": "judged", "cut by a ki')
    assert main([str(file), "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert [counts[fault] for fault in FAULTS] == [0] * len(FAULTS)
    file.write_text("".join(line for line in lines if "event-3" not in line or "judged" not in line))
    assert main([str(file)]) == 1
    assert "lost: H26/edu 1/2 (event-3) at lane.H26@3 was never judged" in capsys.readouterr().out
    file.write_text("no JSON\n")
    assert main([str(file)]) == 2
    assert "is no line of a history" in capsys.readouterr().err
