"""What no history may hold: events doubled, reordered or invented. Told as soon as it is seen.

These rules need no end of the history. They take it in one piece or in many, so that a test can be judged while it
runs (`online_checker`) by the same rules as afterwards (`history_checker`). A line has to come with its causes or
after them: what is sent after its judgement, a judgement after its record, a record after the attempt to publish it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from sys import intern

from history_report import Line, Report, at, name_of

Sequence = tuple[str, int, int]
"""Source, epoch and number."""

WAITED, FINAL = 1, 2


class Sorted:
    """Lines by kind, each kind in its order."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self.by_kind: dict[str, list[Line]] = defaultdict(list)
        for line in lines:
            self.by_kind[line["saw"]].append(line)
        self.acknowledged = self.by_kind["acknowledged"]
        self.laid = sorted(self.by_kind["laid"], key=lambda line: (line["lane"], line["offset"]))
        self.judged = sorted(self.by_kind["judged"], key=lambda line: line["position"])

    def sent(self, kind: str) -> list[Line]:
        """What was found in the topics of a kind."""
        return sorted(self.by_kind[kind], key=lambda line: (line["topic"], line["partition"], line["offset"]))


@dataclass(slots=True)
class Event:
    """What is known of one event: with all that points to it a kilobyte, for as long as the history lasts."""

    tried: bool = False
    promised: Sequence | None = None
    laid: tuple[tuple[Sequence, str], ...] = ()
    """Under which numbers it lies on its lane, and with which words."""
    verdicts: tuple[tuple[str, str, str], ...] = ()
    """Lane, status and rule of each final verdict that is not about a repetition."""


class Known:
    """What several of the rules ask for."""

    def __init__(self) -> None:
        self.events: dict[str, Event] = defaultdict(Event)
        self.tried = self.promised = self.words = False
        """True when anything at all was tried, was promised, or lies on a lane with known words."""
        self.judged: set[int] = set()
        self.shown: set[int] = set()
        """Positions that are judgements, and those of them that the canonical topics show: a canary has no effect."""
        self._gaps: dict[str, set[tuple[int, int, int]]] = defaultdict(set)

    def passed_over(self, line: Line) -> bool:
        """True when the ledger said that this place was missing: what comes there comes late, and rightly so."""
        return any(
            epoch == line["epoch"] and first <= line["sequence"] <= last
            for epoch, first, last in self._gaps.get(line["source"], ())
        )

    def add_gaps(self, lines: Iterable[Line]) -> None:
        """What the ledger has named as missing."""
        for line in lines:
            self._gaps[line["source"]].add((line["epoch"], line["first"], line["last"]))


class Order:
    """The last event of each source, in an order in which they come."""

    def __init__(self) -> None:
        self._last: dict[str, Line] = {}

    def overtaken(self, line: Line) -> Line | None:
        """The later event of the same source that has come before this one, if there is one."""
        before = self._last.setdefault(line["source"], line)
        if (line["epoch"], line["sequence"]) < (before["epoch"], before["sequence"]):
            return before
        self._last[line["source"]] = line
        return None


class Safety:
    """All the rules, for the stages that were recorded; what they find goes into the report."""

    def __init__(self, stages: Collection[str], report: Report) -> None:
        self.known = Known()
        self._report = report
        self._stages = stages
        self._ids: dict[tuple[str, int], dict[int, str]] = defaultdict(dict)
        self._lanes = _Lanes(self.known, report)
        self._judgements = _Judgements(self.known, report, laid="laid" in stages)
        self._topics = {kind: _Topics(kind, self.known, report) for kind in ("canonical", "verdict") if kind in stages}

    def take(self, lines: Sorted) -> None:
        """Judges these lines, in the light of all that came before."""
        self._report.seen.update({kind: len(found) for kind, found in lines.by_kind.items() if found})
        for line in lines.by_kind["attempted"]:
            self._try(line)
        for line in lines.acknowledged:
            self._try(line)
            self._promise(line)
        self.known.add_gaps(lines.by_kind["gap"])
        for line in lines.laid if "laid" in self._stages else ():
            self._lanes.take(line)
        for line in lines.judged:
            self.known.judged.add(line["position"])
            if line["status"] == "ACCEPTED" and line.get("type") != "Canary":
                self.known.shown.add(line["position"])
        if "judged" in self._stages:
            self._judgements.take(lines)
        for kind, topics in self._topics.items():
            for line in lines.sent(kind):
                topics.take(line)

    def _try(self, line: Line) -> None:
        self.known.events[line["id"]].tried = self.known.tried = True

    def _promise(self, line: Line) -> None:
        """Each id is acknowledged under one place, and each place of a source for one id."""
        event, place = self.known.events[line["id"]], _sequence(line)
        self.known.promised = True
        if event.promised is None:
            event.promised = place
        elif event.promised != place:
            self._report.doubled.append(f"{line['id']} was acknowledged as {place} and as {event.promised}")
        other = self._ids[line["source"], line["epoch"]].setdefault(line["sequence"], line["id"])
        if other != line["id"]:
            self._report.doubled.append(f"{place} was acknowledged for {line['id']} and for {other}")


class _Lanes:
    """What lies on a lane was published, always with the same words, and each source's events in their order."""

    def __init__(self, known: Known, report: Report) -> None:
        self._known, self._report = known, report
        self._order = Order()

    def take(self, line: Line) -> None:
        self._known.words |= "hash" in line
        if line["id"] is None:
            return
        event = self._known.events[line["id"]]
        if self._known.tried and not event.tried:
            self._report.invented.append(f"{name_of(line)} lies at {at(line)}, and nobody published it")
        again, words = bool(event.laid), line.get("hash", "")
        # By place as well: a repaired source says the same at another place.
        said = next((words for place, words in event.laid if place == _sequence(line)), None)
        if said is None:
            place = event.promised if event.promised == _sequence(line) else _sequence(line)
            event.laid += ((place, words),)
        elif said != words:
            self._report.invented.append(f"{name_of(line)} lies at {at(line)} with other words than before")
        if again or (self._known.promised and event.promised is None):
            return
        before = self._order.overtaken(line)
        if before is not None and not self._known.passed_over(line):
            self._report.reordered.append(f"{name_of(line)} lies at {at(line)}, behind {name_of(before)}")


class _Judgements:
    """Each record is judged to one final verdict, each event takes effect once, and each lane in its order."""

    def __init__(self, known: Known, report: Report, *, laid: bool) -> None:
        self._known, self._report, self._laid = known, report, laid
        self._positions: set[int] = set()
        self._records: dict[str, dict[int, str | None]] = defaultdict(dict)
        """Of each lane the records that were not judged yet, by their offset: whose they are."""
        self._decided: dict[str, dict[int, int]] = defaultdict(dict)
        self._last: dict[str, Line] = {}
        self._accepted = Order()
        self._verdicts: dict[tuple[str, str, str], tuple[str, str, str]] = {}
        """There are few: each once, for many events."""

    def take(self, lines: Sorted) -> None:
        for line in lines.laid if self._laid else ():
            if line["offset"] not in self._decided[line["lane"]]:
                self._records[line["lane"]][line["offset"]] = line["id"]
        for line in (*lines.judged, *lines.by_kind["noticed"]):
            if line["position"] in self._positions:
                self._report.doubled.append(f"position {line['position']} was given more than once")
            self._positions.add(line["position"])
        for line in lines.judged:
            decided = self._decided[line["lane"]]
            before = decided.get(line["offset"])
            if before is None:
                self._check_record(line)
                self._check_lane(line)
            elif before & FINAL:
                also = ", and has two final verdicts" if line["final"] else ""
                self._report.undecided.append(f"{at(line)} was judged again after its final verdict{also}")
            self._check_event(line)
            self._check_source(line, before or 0)
            decided[line["offset"]] = (before or 0) | (FINAL if line["final"] else _waited_for_its_cause(line))

    def _check_record(self, line: Line) -> None:
        """What is judged lies on the lane."""
        if not self._laid:
            return
        records = self._records[line["lane"]]
        if line["offset"] not in records:
            self._report.invented.append(f"{at(line)} was judged, and no such record lies on the lane")
        elif (found := records.pop(line["offset"])) != line.get("id"):
            self._report.invented.append(f"{at(line)} was judged as {line.get('id')}, and {found} lies there")

    def _check_lane(self, line: Line) -> None:
        """Lanes are judged in their order."""
        last = self._last.get(line["lane"])
        if last is not None and line["offset"] < last["offset"]:
            self._report.reordered.append(f"{at(line)} was judged after {at(last)}")
        self._last[line["lane"]] = line

    def _check_event(self, line: Line) -> None:
        """An event has one final verdict that is not about a repetition of it."""
        if not line.get("id") or not line["final"] or line["status"] == "DUPLICATE":
            return
        event = self._known.events[line["id"]]
        verdict = line["lane"], line["status"], line["rule"]
        event.verdicts += (self._verdicts.setdefault(verdict, verdict),)
        found = [(status, rule) for lane, status, rule in event.verdicts if lane == line["lane"]]
        accepted = sum(status == "ACCEPTED" for status, _ in found)
        if accepted > 1:
            self._report.doubled.append(f"{name_of(line)} was accepted {accepted} times")
        elif len(found) > 1:
            rules = ", ".join(rule for _, rule in found)
            self._report.undecided.append(f"{line['id']} has {len(found)} final verdicts: {rules}")

    def _check_source(self, line: Line, before: int) -> None:
        """Of each source, what is accepted is accepted in its order.

        Exceptions are those the ledger itself has named: an event that waited, or came late into a gap.
        """
        if line["status"] != "ACCEPTED" or not line.get("source") or before & WAITED:
            return
        later = self._accepted.overtaken(line)
        if later is not None and not self._known.passed_over(line):
            self._report.reordered.append(f"{name_of(line)} was accepted after {name_of(later)}")


class _Topics:
    """The topics of a kind hold what the ledger decided: each once, each partition in ledger order."""

    def __init__(self, kind: str, known: Known, report: Report) -> None:
        self._kind, self._known, self._report = kind, known, report
        self._wanted = known.shown if kind == "canonical" else known.judged
        self._sent: set[int] = set()
        self._ends: dict[tuple[str, int], int] = {}

    def take(self, line: Line) -> None:
        position = line["position"]
        if position in self._sent:
            self._report.doubled.append(f"{self._kind} {position} was sent more than once")
        elif position not in self._wanted:
            self._report.invented.append(f"{self._kind} {position} was never judged so")
        self._sent.add(position)
        partition = line["topic"], line["partition"]
        end = self._ends.get(partition, 0)
        if position < end:
            self._report.reordered.append(f"{line['topic']} holds position {position} behind {end}")
        self._ends[partition] = max(end, position)
        if self._kind == "canonical" and self._known.words and "hash" in line:
            said = self._known.events.get(line["id"], Event()).laid
            if line["hash"] not in [words for _, words in said]:
                self._report.invented.append(f"{line['id']} has other words in {line['topic']} than on its lane")


class Missing:
    """What is missing already while a history is still being written; at its end, `history_checker` says more.

    For sources that number their events without holes, and say each under one number only. It takes the same lines as
    `Safety`, after it.
    """

    def __init__(self, known: Known, report: Report) -> None:
        self._known, self._report = known, report
        self._records: dict[str, dict[int, Line]] = defaultdict(dict)
        self._promised: dict[tuple[str, int], dict[int, Line]] = defaultdict(dict)

    def take(self, lines: Sorted) -> None:
        """Tells what was passed over."""
        for line in lines.acknowledged:
            if not self._known.events[line["id"]].laid:
                self._promised[line["source"], line["epoch"]][line["sequence"]] = line
        for line in lines.laid:
            self._records[line["lane"]][line["offset"]] = line
            self._promised[line["source"], line["epoch"]].pop(line["sequence"], None)
        for line in lines.judged:
            if self._records[line["lane"]].pop(line["offset"], None) is not None:
                for passed in _taken_below(self._records[line["lane"]], line["offset"]):
                    self._report.lost.append(f"{name_of(passed)} at {at(passed)} was not judged when {at(line)} was")
            if line["status"] == "ACCEPTED" and line.get("source"):
                for passed in _taken_below(self._promised[line["source"], line["epoch"]], line["sequence"]):
                    if not self._known.passed_over(passed):
                        self._report.lost.append(
                            f"{name_of(passed)} was acknowledged, is on no lane, and nobody missed it when"
                            f" {name_of(line)} was accepted"
                        )


def _taken_below(lines: dict[int, Line], number: int) -> Iterator[Line]:
    """Takes out the first lines, as long as their numbers are smaller."""
    while lines and (first := next(iter(lines))) < number:
        yield lines.pop(first)


def _sequence(line: Line) -> Sequence:
    return intern(line["source"]), line["epoch"], line["sequence"]


def _waited_for_its_cause(line: Line) -> int:
    """For an event that has to take effect later; one that is held for its own source's order has not."""
    return 0 if line["rule"].startswith("source.") else WAITED
