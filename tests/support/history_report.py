"""What is wrong with a history, and how that is said; for the rules in `history_safety` and `history_checker`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from promises import BrokenPromise

Line = dict[str, Any]
Place = tuple[str, int]
"""Lane and offset: names a record."""

FAULTS = ("lost", "doubled", "reordered", "invented", "late", "undecided")
SHOWN = 10


@dataclass
class Report:
    """What is wrong with a history, by kind, and how much there was of everything."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    reordered: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    slowest: float | None = None

    @property
    def counts(self) -> dict[str, int]:
        """How often each kind of fault was found."""
        return {name: len(getattr(self, name)) for name in FAULTS}

    @property
    def clean(self) -> bool:
        """True when nothing is wrong."""
        return not any(self.counts.values())

    def must_be_clean(self, context: str = "") -> None:
        """Raises BrokenPromise, with the faults and what the test knows about them, when anything is wrong."""
        if not self.clean:
            raise BrokenPromise(f"{self}\n{context}".strip())

    def figures(self) -> str:
        """One line for people."""
        seen = ", ".join(f"{count} {name}" for name, count in self.seen.items())
        slowest = "" if self.slowest is None else f"; slowest verdict {self.slowest:.2f} s"
        return f"{', '.join(f'{n} {name}' for name, n in self.counts.items())} ({seen}{slowest})"

    def __str__(self) -> str:
        lines = [self.figures()]
        for name in FAULTS:
            found = getattr(self, name)
            lines += [f"  {name}: {text}" for text in found[:SHOWN]]
            if len(found) > SHOWN:
                lines.append(f"  {name}: and {len(found) - SHOWN} more")
        return "\n".join(lines)


def place_of(line: Line) -> Place:
    """Where its record lies."""
    return line["lane"], line["offset"]


def at(line: Line) -> str:
    """Where its record lies, for people."""
    return f"{line['lane']}@{line['offset']}"


def name_of(line: Line) -> str:
    """Which event it is about, for people."""
    if line.get("source") is None:
        return "a record"
    return f"{line['source']} {line['epoch']}/{line['sequence']} ({str(line.get('id'))[-12:]})"
