"""Early warning measured: sketches a second and core, grouping, memory at a million cases, precision and recall.

`python tests/bench/warning_bench.py [CASES]`, or `run.py --only warning`, which holds the figures against their marks.
Seconds are the processor's, so other work beside it counts little. The tables are those of the process itself.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rensa import RMinHash  # type: ignore[import-untyped]

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))
from portalbus.streams.warning.grouping import CAPACITY, Groups
from portalbus.streams.warning.sketching import SEED, SLOTS, _pairs, sketches
from said_alike import Writing, planted, score

BATCH = 1_000
MILLION = 1_000_000
USUAL_WORDS = 40


@dataclass
class WarningFigures:
    """What was measured."""

    texts_a_second: float = 0.0
    """Texts of 40 words that are folded, cut and hashed, a second and core."""
    mib: float = 0.0
    """Resident memory that the cases took."""
    precision: float = 1.0
    copies: float = 0.0
    paraphrases: float = 0.0
    """Share of planted ones that were found."""
    sides: dict[str, Any] = field(default_factory=dict)


def measure(cases: int = MILLION) -> WarningFigures:
    """Measures everything."""
    found = WarningFigures()
    for words in (USUAL_WORDS, 80, 150):
        _speed(words, found)
    _quality(found)
    _million(cases, found)
    return found


def _speed(words: int, found: WarningFigures) -> None:
    writing = Writing(1)
    texts = [writing.text(words) for _ in range(20_000)]
    began = time.process_time()
    for start in range(0, len(texts), BATCH):
        sketches(texts[start : start + BATCH])
    whole = len(texts) / (time.process_time() - began)
    pairs = [_pairs(text) for text in texts]
    began = time.process_time()
    for start in range(0, len(texts), BATCH):
        RMinHash.digest_matrix_from_token_byte_sets(pairs[start : start + BATCH], SLOTS, SEED).to_rows()
    hashed = len(texts) / (time.process_time() - began)
    size = sum(map(len, texts)) // len(texts)
    found.sides[f"texts of {words} words ({size} characters), a second and core"] = {
        "folded, cut and hashed": round(whole),
        "hashed alone": round(hashed),
    }
    if words == USUAL_WORDS:
        found.texts_a_second = whole


def _quality(found: WarningFigures) -> None:
    scores = score(planted(Writing(2), 20_000, 400))
    for kind, one in scores.items():
        found.sides[kind] = {"precision": round(one.precision, 3), "recall": round(one.recall, 3), "planted": one.pairs}
    found.precision = min(one.precision for one in scores.values())
    found.copies, found.paraphrases = scores["copies"].recall, scores["paraphrases"].recall


def _million(cases: int, found: WarningFigures) -> None:
    writing, now = Writing(3), datetime.now(UTC)
    process = psutil.Process()
    before = process.memory_info().rss
    groups = Groups()
    spent = 0.0
    for start in range(0, cases, BATCH):
        made = sketches([writing.text(USUAL_WORDS) for _ in range(BATCH)])
        began = time.process_time()
        for number, sketch in enumerate(made):
            if sketch is not None:
                groups.add(sketch, f"{start + number:012}", "01", now)
        spent += time.process_time() - began
    found.mib = (process.memory_info().rss - before) / 2**20
    found.sides[f"{cases:,} cases"] = {
        "resident, MiB": round(found.mib),
        "tables at most, MiB": round(groups.most_bytes / 2**20),
        "remembered": min(cases, CAPACITY),
        "grouped a second and core": round(cases / spent),
        "groups by chance": sum(1 for _ in groups),
    }


if __name__ == "__main__":
    for name, sides in measure(int(sys.argv[1]) if len(sys.argv) > 1 else MILLION).sides.items():
        print(f"{name}: {sides}")
