"""Runs seeds: one with its trace, or many on all cores."""

from __future__ import annotations

import gc
import logging
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import structlog

from simulator.invariants import Violation
from simulator.mutations import MUTATIONS
from simulator.world import World

MEMORY = Path("/dev/shm")
"""Where files cost no disk, if there is such a place."""
CHUNK = 25


@dataclass
class Outcome:
    """What a number of seeds came to."""

    seeds: int = 0
    steps: int = 0
    events: int = 0
    promised: int = 0
    judgements: int = 0
    happened: Counter[str] = field(default_factory=Counter)
    failures: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, other: Outcome) -> None:
        """Adds what other seeds came to."""
        self.seeds += other.seeds
        self.steps += other.steps
        self.events += other.events
        self.promised += other.promised
        self.judgements += other.judgements
        self.happened += other.happened
        self.failures |= other.failures

    def figures(self) -> str:
        """One line for people."""
        faults = {name: n for name, n in sorted(self.happened.items()) if name not in ORDINARY}
        return (
            f"{self.seeds} seeds, {self.steps} steps in {self.seconds:.1f} s: {self.promised} events acknowledged,"
            f" {self.judgements} judgements, {len(self.failures)} seeds failed; {faults}"
        )


ORDINARY = frozenset({"begin", "publish", "deliver", "land", "fetch", "commit", "relay", "expire", "faults-stop"})


def run_seed(
    seed: int, steps: int, *, without: str | None = None, with_faults_of: str | None = None
) -> tuple[World, str | None]:
    """Lives one seed; returns its world and what broke, if anything did.

    `without` switches one defence off and lets happen what it defends against, `with_faults_of` only the latter.
    """
    silence()
    root = Path(tempfile.mkdtemp(prefix="simulator-", dir=MEMORY if MEMORY.is_dir() else None))
    defence = without or with_faults_of
    world = World(seed, root, MUTATIONS[defence].faults if defence else frozenset())
    try:
        with MUTATIONS[without].switch_off() if without else nullcontext():
            world.live(steps)
    except Violation as violation:
        return world, str(violation)
    except Exception as error:
        return world, f"{type(error).__name__}: {error}"
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return world, None


def run_chunk(seeds: Iterable[int], *, steps: int, without: str | None = None) -> Outcome:
    """Lives some seeds, one after the other."""
    outcome = Outcome()
    for seed in seeds:
        world, broken = run_seed(seed, steps, without=without)
        outcome.seeds += 1
        outcome.steps += steps
        outcome.events += len(world.story.said)
        outcome.promised += sum(said.promised is not None for said in world.story.said.values())
        outcome.judgements += len(world.store.order)
        outcome.happened += world.happened
        if broken:
            outcome.failures[seed] = broken
    gc.collect()
    return outcome


def run_many(first: int, count: int, steps: int, *, processes: int, without: str | None = None) -> Outcome:
    """Lives `count` seeds from `first` on."""
    began = time.monotonic()
    seeds = range(first, first + count)
    chunks = [seeds[start : start + CHUNK] for start in range(0, count, CHUNK)]
    outcome = Outcome()
    job = partial(run_chunk, steps=steps, without=without)
    if processes == 1:
        for chunk in chunks:
            outcome.add(job(chunk))
    else:
        with ProcessPoolExecutor(processes, initializer=collect_seldom) as pool:
            for part in pool.map(job, chunks):
                outcome.add(part)
    outcome.seconds = time.monotonic() - began
    return outcome


def collect_seldom() -> None:
    """Looking for garbage with cycles as often as Python does costs a tenth of the time: once a chunk is enough."""
    gc.freeze()
    gc.disable()


def silence() -> None:
    """The product's log lines are not of interest here."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL), cache_logger_on_first_use=False
    )
