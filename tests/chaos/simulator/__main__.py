"""The simulator as a program: `python tests/chaos/simulator --help`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

TESTS = Path(__file__).parents[2]
sys.path[:0] = [str(TESTS / "chaos"), str(TESTS / "support")]

from simulator.mutations import MUTATIONS  # noqa: E402 - found only now
from simulator.run import run_many, run_seed  # noqa: E402


def main(arguments: list[str] | None = None) -> int:
    """Lives one seed with `--seed`, else `--seeds` fresh or numbered ones; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="simulator", description="Live the bus from seeds, on a fake clock.")
    parser.add_argument("--seed", type=int, help="live this one again")
    parser.add_argument("--seeds", type=int, default=500, help="how many (default 500)")
    parser.add_argument("--first", type=int, help="the first of them (default: a fresh one)")
    parser.add_argument("--steps", type=int, default=200, help="steps before the faults stop (default 200)")
    parser.add_argument("--trace", action="store_true", help="print what happened, step by step")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--without", choices=sorted(MUTATIONS), help="switch one defence off")
    asked = parser.parse_args(arguments)
    if asked.seed is not None:
        world, broken = run_seed(asked.seed, asked.steps, without=asked.without)
        print("\n".join(world.trace if asked.trace else world.trace[:1]))
        print(f"trace {world.digest}: {broken or 'every promise was kept'}")
        return 1 if broken else 0
    first = int.from_bytes(os.urandom(5)) if asked.first is None else asked.first
    print(f"seeds from {first}")
    outcome = run_many(first, asked.seeds, asked.steps, processes=asked.processes, without=asked.without)
    print(outcome.figures())
    for seed, broken in list(outcome.failures.items())[:20]:
        print(f"--seed {seed} --steps {asked.steps}: {broken}")
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
