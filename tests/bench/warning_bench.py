"""Early warning measured: sketches a second and core, grouping, memory at a million cases, precision and recall.

`python tests/bench/warning_bench.py [CASES]`. Seconds are the processor's, so other work beside it counts little.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil
from rensa import RMinHash  # type: ignore[import-untyped]

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))
from portalbus.streams.warning.grouping import Groups
from portalbus.streams.warning.sketching import SEED, SLOTS, _pairs, sketches
from said_alike import Writing, planted, score

BATCH = 1_000


def main() -> None:
    """Prints the figures."""
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    for words in (40, 80, 150):
        _speed(words)
    _quality()
    _million(cases)


def _speed(words: int) -> None:
    writing = Writing(1)
    texts = [writing.text(words) for _ in range(20_000)]
    began = time.process_time()
    for start in range(0, len(texts), BATCH):
        sketches(texts[start : start + BATCH])
    whole = time.process_time() - began
    pairs = [_pairs(text) for text in texts]
    began = time.process_time()
    for start in range(0, len(texts), BATCH):
        RMinHash.digest_matrix_from_token_byte_sets(pairs[start : start + BATCH], SLOTS, SEED).to_rows()
    hashed = time.process_time() - began
    size = sum(map(len, texts)) // len(texts)
    print(
        f"{words} words ({size} characters): {len(texts) / whole:,.0f} texts/s·core folded, cut and hashed;"
        f" {len(texts) / hashed:,.0f} hashed alone"
    )


def _quality() -> None:
    for kind, found in score(planted(Writing(2), 20_000, 400)).items():
        print(f"{kind}: precision {found.precision:.3f}, recall {found.recall:.3f} ({found.pairs} planted)")


def _million(cases: int) -> None:
    writing, now = Writing(3), datetime.now(UTC)
    process = psutil.Process()
    before = process.memory_info().rss
    groups = Groups(1 << 20)
    spent = 0.0
    for start in range(0, cases, BATCH):
        made = sketches([writing.text(40) for _ in range(BATCH)])
        began = time.process_time()
        for number, sketch in enumerate(made):
            if sketch is not None:
                groups.add(sketch, f"{start + number:012}", "01", now)
        spent += time.process_time() - began
    grown = (process.memory_info().rss - before) / 2**20
    print(
        f"{cases:,} cases: {grown:,.0f} MiB more resident, tables at most {groups.most_bytes / 2**20:,.0f} MiB,"
        f" {cases / spent:,.0f} grouped a second and core, {sum(1 for _ in groups)} chance groups"
    )


if __name__ == "__main__":
    main()
