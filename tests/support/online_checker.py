"""Judges a history while it is being made: a broken promise is told within seconds, not when the test is over.

A round reads what is new in the topics, then in the ledger, then on the lanes, then in what the portals wrote down. So
what was read last holds the cause of all that was read before, however fast the bus goes on meanwhile, and nothing is
judged before its cause is known. One cause lies the other way, where the ledger names a gap and a portal fills it: a
record that the ledger had not judged when it was looked at is judged in the next round. When database or broker are
away in the middle of a round, what was read of it waits.

What needs an end (lost, undecided, late) is for `history_checker`, afterwards.
"""

from __future__ import annotations

import sys
import threading
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from random import Random
from types import TracebackType
from typing import Protocol, Self

from bus_reading import BusAway
from history_checker import STAGES
from history_recorder import LAST_POSITION
from history_report import Line, Report
from history_safety import Missing, Safety, Sorted
from promises import BrokenPromise

EVERY_SECONDS = 2.0
LOOKED_BACK = 250
"""Positions before the newest that each round reads once more, and as many anywhere before them."""
ALL_AT_ONCE = 20_000
ONLINE_STAGES = tuple(stage for stage in STAGES if stage != "effect")
"""What the store shows is compared when all is over."""
LOOKED_AT = ("acknowledged", "laid", "judged", "canonical", "verdict")
DECIDED = ("saw", "lane", "offset", "status", "final", "rule", "at")
"""What of a judgement is never changed; what else its line says may be learned later, of a record that was parked."""


class Reading(Protocol):
    """Where the lines come from, each once; positions of the ledger as often as asked for. Each may raise BusAway."""

    def sent(self) -> Iterable[Line]:
        """New in the canonical and the verdict topics."""

    def decided(self, first: int, last: int) -> Iterable[Line]:
        """Judged or noticed at these positions, with the gaps that were named."""

    def laid(self, up_to: Mapping[str, int]) -> Iterable[Line]:
        """New on the lanes, up to these offsets and perhaps more."""

    def said(self) -> Iterable[Line]:
        """Attempted and acknowledged."""

    def close(self) -> None:
        """Lets go of everything."""


class OnlineChecker:
    """Checks every few seconds, in a thread of its own, from `__enter__` to `__exit__`.

    `context` is asked for what the test knows, at the moment when a promise is found broken.
    """

    def __init__(
        self, reading: Reading, *, context: Callable[[], str] = str, every: float = EVERY_SECONDS, seed: int = 0
    ) -> None:
        self.report = Report()
        self.rounds = 0
        self.away: Counter[str] = Counter()
        """Rounds that were not whole, by what was away."""
        self.longest = 0.0
        """Seconds between two rounds that were whole, at most: for so long nobody has looked."""
        self._reading, self._context, self._every = reading, context, every
        self._safety = Safety(ONLINE_STAGES, self.report)
        self._missing = Missing(self._safety.known, self.report)
        self._ledger = _SeenLedger(self.report)
        self._random = Random(seed)
        self._up_to: dict[str, int] = {}
        self._gaps: set[tuple[object, ...]] = set()
        self._waiting: list[Line] = []
        self._ahead: list[Line] = []
        self._last_round = time.monotonic()
        self._cpu = 0.0
        self._began = time.monotonic()
        self._broken: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="online-checker", daemon=True)

    def __enter__(self) -> Self:
        self._began = self._last_round = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._reading.close()

    def must_be_clean(self) -> None:
        """Raises BrokenPromise as soon as one was found broken, and whatever has ended the checker."""
        if self._broken is not None:
            raise self._broken

    def finish(self, within: float) -> None:
        """The last word, when all is at rest: judges the rest, for at most so many seconds, and that the ledger still
        holds at every position what was read there at first.

        Raises BrokenPromise, and BusAway when database or broker do not answer.
        """
        self._end()
        self.must_be_clean()
        deadline = time.monotonic() + within
        while not (self.round() and self._has_seen_all()) and time.monotonic() < deadline:
            self._judge()
            self.must_be_clean()
        for first in range(1, self._ledger.end + 1, ALL_AT_ONCE):
            last = first + ALL_AT_ONCE - 1
            self._ledger.compare(self._reading.decided(first, last), first, last)
        self._judge()
        self.must_be_clean()

    def must_have_seen(self, report: Report) -> None:
        """Fails unless it has judged as much as was found afterwards: who sees nothing finds nothing."""
        ours, all_of_it = ({kind: one.seen[kind] for kind in LOOKED_AT} for one in (self.report, report))
        assert ours == all_of_it, f"judged while it happened: {ours}; to be seen: {all_of_it}"

    def figures(self) -> str:
        """One line for people."""
        seconds = time.monotonic() - self._began
        share = 100 * self._cpu / seconds
        away = "".join(f", {count} more cut short because {reason}" for reason, count in self.away.items())
        return (
            f"judged while it happened in {self.rounds} rounds, at most {self.longest:.1f} s apart{away};"
            f" {self._cpu:.1f} s of CPU time ({share:.1f} % of a core)"
        )

    def round(self) -> bool:
        """Reads what is new and judges it; False when something is away, and what was read waits."""
        began = time.thread_time()
        try:
            self._gather(self._reading.sent())
            self._look_at_ledger()
            self._gather(self._reading.laid(self._up_to))
            self._gather(self._reading.said())
        except BusAway as reason:
            self.away[str(reason)] += 1
            return False
        else:
            next_time = [line for line in self._waiting if self._is_ahead(line)]
            lines = Sorted([*self._ahead, *(line for line in self._waiting if not self._is_ahead(line))])
            self._ahead, self._waiting = next_time, []
            self._safety.take(lines)
            self._missing.take(lines)
            self.rounds += 1
            now = time.monotonic()
            self.longest, self._last_round = max(self.longest, now - self._last_round), now
            return True
        finally:
            self._cpu += time.thread_time() - began

    def _is_ahead(self, line: Line) -> bool:
        """True for a record that came after the look at the ledger, which may have named it as missing meanwhile."""
        return line["saw"] == "laid" and self._up_to.get(line["lane"], -1) < int(line["offset"])

    def _gather(self, lines: Iterable[Line]) -> None:
        for line in lines:  # one by one: what was read before the rest failed is read only once
            self._waiting.append(line)

    def _look_at_ledger(self) -> None:
        """What is new, and once more the positions before that and some of the older ones."""
        end = self._ledger.end
        first = max(1, end - LOOKED_BACK + 1)
        found = list(self._reading.decided(first, LAST_POSITION))
        self._ledger.compare(found, first, end)
        new = [line for line in found if line["saw"] != "gap" and line["position"] > end]
        self._ledger.remember(new)
        self._waiting += new
        for line in found:
            if line["saw"] == "gap" and (gap := tuple(line.values())) not in self._gaps:
                self._gaps.add(gap)
                self._waiting.append(line)
            elif line["saw"] == "judged":
                self._up_to[line["lane"]] = max(line["offset"], self._up_to.get(line["lane"], 0))
        if first > 1:
            older = self._random.randrange(1, first)
            last = older + LOOKED_BACK - 1
            self._ledger.compare(self._reading.decided(older, last), older, last)

    def _has_seen_all(self) -> bool:
        """True when everything that the ledger decided was found in the topics, and no record is left for later."""
        known, seen = self._safety.known, self.report.seen
        return not self._ahead and seen["canonical"] >= len(known.shown) and seen["verdict"] >= len(known.judged)

    def _judge(self) -> None:
        if self._broken is None and not self.report.clean:
            seconds = time.monotonic() - self._began
            self._broken = BrokenPromise(f"{seconds:.1f} s after the beginning: {self.report}\n{self._context()}")
            print(f"\n{self._broken}", file=sys.stderr, flush=True)

    def _run(self) -> None:
        whole = True
        while self._broken is None and not self._stop.wait(self._every if whole else self._every / 4):
            try:
                whole = self.round()
                self._judge()
            except Exception as error:  # whoever waits for the verdict hears of it
                self._broken = error

    def _end(self) -> None:
        self._stop.set()
        self._thread.join()


class _SeenLedger:
    """Eight bytes of each position that was read: what is decided stays decided, whoever was killed in between."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._digests = array("q")

    @property
    def end(self) -> int:
        """The last position that was read."""
        return len(self._digests)

    def remember(self, lines: Iterable[Line]) -> None:
        """Lines of positions that were not read before."""
        for line in sorted(lines, key=lambda line: line["position"]):
            while self.end < line["position"]:
                self._digests.append(0)
            self._digests[line["position"] - 1] = _digest(line)

    def compare(self, lines: Iterable[Line], first: int, last: int) -> None:
        """Names each position in this range, up to the last that is known, that holds something else by now."""
        found = {line["position"]: line for line in lines if "position" in line}
        for position in range(first, min(last, self.end) + 1):
            if not self._digests[position - 1]:
                continue
            if position not in found:
                self._report.lost.append(f"position {position} of the ledger was read, and holds nothing any more")
            elif _digest(found[position]) != self._digests[position - 1]:
                self._report.invented.append(f"position {position} of the ledger held something else before")


def _digest(line: Line) -> int:
    return hash(tuple(line.get(name) for name in DECIDED)) or 1
