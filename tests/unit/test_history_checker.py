"""A checker that has never failed is not to be trusted: each kind of fault, put into a sound history, is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from doctored_history import BREAKS, EVENTS, broken, refused, sound, swapped
from history_checker import check, main
from history_report import FAULTS, Line
from promises import BrokenPromise


def test_a_sound_history_is_clean_and_counted() -> None:
    report = check(sound(), late=10)
    assert report.clean, report
    assert report.seen["judged"] == EVENTS + 1
    assert report.slowest == pytest.approx(1.0)


@pytest.mark.parametrize(("fault", "break_it"), BREAKS)
def test_each_kind_of_fault_is_named(fault: str, break_it: Callable[[list[Line]], None]) -> None:
    report = check(broken(fault, break_it), late=10)
    assert report.counts[fault] > 0, report


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
