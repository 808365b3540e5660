"""What a person sees while the stack starts."""

import io
import threading

import pytest
from rich.console import Console

from portalbus.infra.stack.progress import Lines, RichBars, amount, for_terminal
from portalbus.infra.stack.together import run_together


def test_bytes_are_told_in_megabytes() -> None:
    assert amount(12_300_000, 203_200_000, "bytes") == "12.3 of 203.2 MB"
    assert amount(3, 45, "files") == "3 of 45 files"


def test_lines_tell_each_step_and_each_tenth_once() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.step("fetching")
    for done in range(101):
        lines.update("fetching", done * 1_000_000, 100_000_000, "bytes")
    lines.done("fetching", "45 files")
    lines.note("port 9092 is taken")
    text = stream.getvalue().splitlines()
    assert text[0] == "  … fetching"
    assert [line for line in text if "MB" in line] == [
        f"  … fetching: {tenth}0.0 of 100.0 MB" for tenth in range(1, 11)
    ]
    assert text[-2].startswith("  ✓ fetching (45 files, 0.")
    assert text[-1] == "  · port 9092 is taken"


def test_bars_leave_a_line_for_each_finished_step() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100)
    with RichBars(console) as bars:
        bars.step("starting Kafka")
        bars.update("starting Kafka", 1, 2, "files")
        bars.done("starting Kafka", "port 9092")
        bars.note("a [note] with brackets")
    assert "starting Kafka" in stream.getvalue()
    assert "port 9092" in stream.getvalue()
    assert "a [note] with brackets" in stream.getvalue()


def test_a_pipe_gets_lines_and_a_terminal_bars() -> None:
    assert isinstance(for_terminal(Console(file=io.StringIO())), Lines)
    assert isinstance(for_terminal(Console(file=io.StringIO(), force_terminal=True)), RichBars)


def test_jobs_run_at_the_same_time() -> None:
    barrier = threading.Barrier(2, timeout=5)

    def meet() -> None:
        barrier.wait()

    run_together(meet, meet)


def test_the_first_error_is_raised_without_waiting_for_the_others() -> None:
    release = threading.Event()

    def slow() -> None:
        release.wait(30)

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run_together(slow, fail)
    release.set()
