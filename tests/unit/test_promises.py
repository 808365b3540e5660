"""A broken promise fails at once, whatever runs failed tests again; anything else may be repeated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from promises import BrokenPromise, promised

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
TESTS = """
from promises import promised

def test_plain():
    assert 1 == 2

def test_promised():
    with promised():
        assert 3 == 4

@promised()
def holds():
    assert 5 == 6

def test_decorated():
    holds()
"""


def test_what_is_asserted_under_a_promise_breaks_it_with_the_same_words() -> None:
    with promised():
        assert True
    with pytest.raises(BrokenPromise, match="seven rows are lost"), promised():
        raise AssertionError("seven rows are lost")
    with pytest.raises(TimeoutError), promised():
        raise TimeoutError


def test_only_tests_that_broke_no_promise_are_run_again(tmp_path: Path) -> None:
    file = tmp_path / "test_reruns.py"
    file.write_text(TESTS)
    options = ["-c", str(PROJECT), "-p", "no:cacheprovider", "-p", "no:xdist", "--reruns", "1", "-rR", "-q"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    again = [line for line in done.stdout.splitlines() if line.startswith("RERUN")]
    assert len(again) == 1, done.stdout
    assert "test_plain" in again[0]
    assert "3 failed, 1 rerun" in done.stdout
