"""The simulator keeps every promise from every seed, says the same twice, and turns red without any of the defences."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from history_report import BrokenPromise
from seeds import fresh_seed
from simulator.disk import can_listen
from simulator.mutations import MUTATIONS
from simulator.run import Outcome, run_many, run_seed

STEPS = 200
CORES = os.cpu_count() or 1
PROGRAM = Path(__file__).parent / "simulator"

TRIES = 60
"""Within so many seeds, a missing defence has to show."""


def live(count: int) -> Outcome:
    """Lives fresh seeds; a failure names those that broke a promise, to be lived again."""
    first = fresh_seed("seeds of the simulator from", bits=40)
    outcome = run_many(first, count, STEPS, processes=CORES)
    print(outcome.figures())
    again = [f"python {PROGRAM} --seed {seed} --steps {STEPS} --trace   # {text}" for seed, text in failed(outcome)]
    if again:
        raise BrokenPromise("\n".join(again))
    return outcome


def failed(outcome: Outcome) -> list[tuple[int, str]]:
    """The first of the seeds that broke a promise."""
    return list(outcome.failures.items())[:10]


def test_500_fresh_seeds_keep_every_promise() -> None:
    live(500)


@pytest.mark.chaos
@pytest.mark.timeout(1_800)
def test_10_000_fresh_seeds_keep_every_promise() -> None:
    outcome = live(10_000)
    assert outcome.steps >= 10_000 * STEPS
    assert outcome.seconds <= 600


def test_a_seed_lives_the_same_life_again_in_another_process() -> None:
    traces = []
    for hashes in ("1", "2"):
        command = [sys.executable, str(PROGRAM), "--seed", "4711", "--steps", "120", "--trace"]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONHASHSEED": hashes}
        )
        assert done.returncode == 0, done.stdout[-2_000:] + done.stderr
        traces.append(done.stdout)
    assert traces[0] == traces[1]
    assert traces[0].count("\n") > 120


@pytest.mark.parametrize("defence", MUTATIONS)
def test_without_this_defence_a_promise_breaks_and_with_it_none_does(defence: str) -> None:
    if defence == "outbox-fsync" and not can_listen():
        pytest.skip("this build of Python lets nobody see what SQLite syncs")
    for seed in range(TRIES):
        _, broken = run_seed(seed, STEPS, without=defence)
        if broken:
            break
    assert broken, f"{TRIES} seeds saw no difference"
    print(f"\nwithout {defence}: seed {seed}: {broken.splitlines()[0]}")
    _, broken = run_seed(seed, STEPS, with_faults_of=defence)
    assert broken is None
