"""One checker for every test that breaks things: reads what was seen, one JSON object a line, and says what is wrong.

    python tests/support/history_checker.py FILE… [--late SECONDS] [--stages laid,judged,…] [--all-sound] [--json]

Each line names what it `saw`:

    attempted     id source                               a portal is about to publish this
    acknowledged  id source epoch sequence [at]           `publish()` has returned
    laid          lane offset id source epoch sequence    an event lies on a lane; `hash` of its value if known
    gap           source epoch first last                 the ledger noticed that these have not come
    judged        lane offset position status final rule  one judgement; with id, type, key, source, epoch, sequence, at
    noticed       position                                the ledger gave this position to a notice of its own
    effect        type key position id                    the store shows this event; `position` is the order
    canonical     topic partition offset position id      a `read_committed` reader found this; with `hash` if known
    verdict       topic partition offset position         the same, for a verdict

`source` is `H26/www`, `at` is seconds since 1970. Lines may come in any order: within a stage, the order is that of
offsets or positions. The exit status is 1 when anything is wrong, 2 when the history cannot be read.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promises import BrokenPromise

Line = dict[str, Any]
Place = tuple[str, int]
"""Lane and offset: names a record."""

FAULTS = ("lost", "doubled", "reordered", "invented", "late", "undecided")
STAGES = ("laid", "judged", "effect", "canonical", "verdict")
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


def check(
    lines: Iterable[Line],
    *,
    stages: Collection[str] = STAGES,
    late: float | None = None,
    all_sound: bool = False,
) -> Report:
    """Checks a history. `stages` were recorded; `late` bounds the seconds from acknowledgement to final verdict.

    `all_sound` says that portals published nothing that deserves a refusal: what was refused all the same is lost.
    """
    history = _History(lines)
    report = Report(seen=Counter({saw: len(found) for saw, found in history.by_kind.items()}))
    _check_promises(history, report)
    if "laid" in stages:
        _check_lanes(history, report)
    if "judged" in stages:
        _check_judgements(history, report, laid="laid" in stages)
        if all_sound:
            _check_refusals(history, report)
        _check_delay(history, report, late)
    if "effect" in stages:
        _check_effects(history, report, judged="judged" in stages)
    for topic in ("canonical", "verdict"):
        if topic in stages:
            _check_topic(topic, history, report)
    return report


class _History:
    """The lines, sorted into what each check asks for."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self.by_kind: dict[str, list[Line]] = defaultdict(list)
        for line in lines:
            self.by_kind[line["saw"]].append(line)
        self.acknowledged = self.by_kind["acknowledged"]
        self.laid = sorted(self.by_kind["laid"], key=lambda line: (line["lane"], line["offset"]))
        self.judged = sorted(self.by_kind["judged"], key=lambda line: line["position"])
        self.accepted = {line["position"]: line for line in self.judged if line["status"] == "ACCEPTED"}
        self.shown = {at: line for at, line in self.accepted.items() if line.get("type") != "Canary"}
        """What is accepted and has an effect: a canary has none, and nobody but the centre sees it."""
        self.tried = {line["id"] for kind in ("attempted", "acknowledged") for line in self.by_kind[kind]}

    def passed_over(self, source: str, epoch: int, sequence: int) -> bool:
        """True when the ledger said that this place was missing: what comes there comes late, and rightly so."""
        return any(
            gap["source"] == source and gap["epoch"] == epoch and gap["first"] <= sequence <= gap["last"]
            for gap in self.by_kind["gap"]
        )


def _check_promises(history: _History, report: Report) -> None:
    """Each id is acknowledged under one place, and each place of a source for one id."""
    places: dict[str, tuple[Any, ...]] = {}
    ids: dict[tuple[Any, ...], str] = {}
    for line in history.acknowledged:
        place = (line["source"], line["epoch"], line["sequence"])
        if places.setdefault(line["id"], place) != place:
            report.doubled.append(f"{line['id']} was acknowledged as {place} and as {places[line['id']]}")
        if ids.setdefault(place, line["id"]) != line["id"]:
            report.doubled.append(f"{place} was acknowledged for {line['id']} and for {ids[place]}")


def _check_lanes(history: _History, report: Report) -> None:
    on_lane = {line["id"] for line in history.laid}
    report.lost += [f"{_name(line)} is on no lane" for line in history.acknowledged if line["id"] not in on_lane]
    said: dict[tuple[Any, ...], str] = {}  # by place as well: a repaired source says the same at another place
    for line in history.laid:
        if line["id"] is None:
            continue
        if history.tried and line["id"] not in history.tried:
            report.invented.append(f"{_name(line)} lies at {_at(line)}, and nobody published it")
        known = line["id"], line["source"], line["epoch"], line["sequence"]
        if said.setdefault(known, line.get("hash", "")) != line.get("hash", ""):
            report.invented.append(f"{_name(line)} lies at {_at(line)} with other words than before")
    promised = {line["id"] for line in history.acknowledged}
    ordered = (line for line in _first_of_each(history.laid) if not promised or line["id"] in promised)
    for line, before in _overtaken(ordered):
        if not history.passed_over(line["source"], line["epoch"], line["sequence"]):
            report.reordered.append(f"{_name(line)} lies at {_at(line)}, behind {_name(before)}")


def _check_judgements(history: _History, report: Report, *, laid: bool) -> None:
    positions = Counter(line["position"] for line in [*history.judged, *history.by_kind["noticed"]])
    report.doubled += [f"position {position} was given {n} times" for position, n in positions.items() if n > 1]
    if positions and len(positions) != max(positions):
        report.lost.append(f"{max(positions) - len(positions)} positions of the ledger hold nothing")
    by_record: dict[Place, list[Line]] = defaultdict(list)
    for line in history.judged:
        by_record[_place(line)].append(line)
    for place, found in by_record.items():
        finals = sum(line["final"] for line in found)
        if finals != 1:
            report.undecided.append(f"{_name(found[0])} at {_at(found[0])} has {finals} final verdicts")
        if found[-1]["final"] != (finals > 0):
            report.undecided.append(f"{place} was judged again after its final verdict")
    if laid:
        _check_records(history, by_record, report)
    _check_events(history, report)
    _check_order_of_judgement(history, by_record, report)


def _check_records(history: _History, by_record: dict[Place, list[Line]], report: Report) -> None:
    """Each record of a lane was judged, and nothing else was."""
    records = {_place(line): line for line in history.laid}
    report.lost += [
        f"{_name(line)} at {_at(line)} was never judged" for p, line in records.items() if p not in by_record
    ]
    for place, found in by_record.items():
        if place not in records:
            report.invented.append(f"{place} was judged, and no such record lies on the lane")
        elif found[0].get("id") != records[place]["id"]:
            report.invented.append(f"{place} was judged as {found[0].get('id')}, and {records[place]['id']} lies there")


def _check_events(history: _History, report: Report) -> None:
    """Each event has one final verdict that is not about a repetition of it."""
    verdicts: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for line in history.judged:
        if line.get("id") and line["final"] and line["status"] != "DUPLICATE":
            verdicts[line["lane"], line["id"]].append(line)
    for (_, event_id), found in verdicts.items():
        accepted = [line for line in found if line["status"] == "ACCEPTED"]
        if len(accepted) > 1:
            report.doubled.append(f"{_name(accepted[0])} was accepted {len(accepted)} times")
        if len(found) > 1 and len(accepted) < 2:
            rules = ", ".join(line["rule"] for line in found)
            report.undecided.append(f"{event_id} has {len(found)} final verdicts: {rules}")
    decided = {event_id for _, event_id in verdicts}
    report.undecided += [
        f"{_name(line)} was acknowledged and has no final verdict"
        for line in history.acknowledged
        if line["id"] not in decided
    ]


def _check_refusals(history: _History, report: Report) -> None:
    """What was acknowledged was accepted; what was not decided at all is named elsewhere."""
    accepted = {line["id"] for line in history.accepted.values()}
    refusals = {line["id"]: line["rule"] for line in history.judged if line["status"] == "REJECTED"}
    report.lost += [
        f"{_name(line)} was acknowledged and then refused by {refusals[line['id']]}"
        for line in history.acknowledged
        if line["id"] in refusals and line["id"] not in accepted
    ]


def _check_order_of_judgement(history: _History, by_record: dict[Place, list[Line]], report: Report) -> None:
    """Lanes are judged in their order; of each source, what is accepted is accepted in its order.

    Exceptions are those the ledger itself has named: an event that waited, or came late into a gap.
    """
    last: dict[str, Line] = {}
    for found in by_record.values():
        before = last.get(found[0]["lane"])
        if before is not None and found[0]["offset"] < before["offset"]:
            report.reordered.append(f"{_at(found[0])} was judged after {_at(before)}")
        last[found[0]["lane"]] = found[0]
    firm = (line for line in history.accepted.values() if line.get("source"))
    for line, before in _overtaken(line for line in firm if not _waited_for_its_cause(by_record[_place(line)])):
        if not history.passed_over(line["source"], line["epoch"], line["sequence"]):
            report.reordered.append(f"{_name(line)} was accepted after {_name(before)}")


def _waited_for_its_cause(judgements: list[Line]) -> bool:
    """True for an event that had to take effect later; one that was held for its own source's order had not."""
    return any(not line["final"] and not line["rule"].startswith("source.") for line in judgements)


def _check_delay(history: _History, report: Report, late: float | None) -> None:
    promised = {line["id"]: line["at"] for line in history.acknowledged if "at" in line}
    for line in history.judged:
        at = promised.pop(line.get("id"), None) if line["final"] and "at" in line else None
        if at is None:
            continue
        report.slowest = max(report.slowest or 0.0, line["at"] - at)
        if late is not None and line["at"] - at > late:
            report.late.append(f"{_name(line)} was decided {line['at'] - at:.2f} s after its acknowledgement")


def _check_effects(history: _History, report: Report, *, judged: bool) -> None:
    """What the store shows is what was accepted, each once."""
    effects = sorted(history.by_kind["effect"], key=lambda line: line["position"])
    if not judged:
        _check_plain_effects(history, effects, report)
        return
    # A case keeps the position of what happened to it last, so that only the case of a receipt can be found.
    shown = Counter(line["position"] for line in effects)
    keys = {(line["type"], line["key"]) for line in effects}
    for position, line in history.shown.items():
        opened = line["type"] == "FeedbackReceived"
        if not ((("FeedbackReceived", line["key"]) in keys) if opened else shown[position]):
            report.lost.append(f"{_name(line)} was accepted at {position}, and the store does not show it")
    report.doubled += [f"the effect at {position} shows {n} times" for position, n in shown.items() if n > 1]
    for line in effects:
        if history.accepted.get(line["position"], {}).get("key") != line["key"]:
            report.invented.append(f"{line['type']} {line['key']} stands at {line['position']}; not accepted there")


def _check_plain_effects(history: _History, effects: list[Line], report: Report) -> None:
    """For stores without a ledger: effects in the order in which they happened, each with the id of its event."""
    times = Counter(line["id"] for line in effects)
    report.lost += [f"{_name(line)} had no effect" for line in history.acknowledged if not times[line["id"]]]
    report.doubled += [f"{event_id} took effect {n} times" for event_id, n in times.items() if n > 1]
    report.invented += [f"{event_id} was never published" for event_id in times if event_id not in history.tried]
    for line, before in _overtaken(_first_of_each(effects)):
        report.reordered.append(f"{_name(line)} took effect after {_name(before)}")


def _check_topic(kind: str, history: _History, report: Report) -> None:
    """A topic holds what the ledger decided: each once, each partition in ledger order."""
    wanted = history.shown if kind == "canonical" else {line["position"]: line for line in history.judged}
    found = sorted(history.by_kind[kind], key=lambda line: (line["topic"], line["partition"], line["offset"]))
    times = Counter(line["position"] for line in found)
    report.doubled += [f"{kind} {position} was sent {n} times" for position, n in times.items() if n > 1]
    report.lost += [f"{_name(line)} at {p}: no {kind} was sent" for p, line in wanted.items() if not times[p]]
    report.invented += [f"{kind} {position} was never judged so" for position in times if position not in wanted]
    ends: dict[tuple[str, int], int] = {}
    for line in found:
        end = ends.get((line["topic"], line["partition"]), 0)
        if line["position"] < end:
            report.reordered.append(f"{line['topic']} holds position {line['position']} behind {end}")
        ends[line["topic"], line["partition"]] = max(end, line["position"])
    if kind == "canonical":
        _check_words(history, found, report)


def _check_words(history: _History, found: list[Line], report: Report) -> None:
    said: dict[str, set[str]] = defaultdict(set)
    for line in history.laid:
        if "hash" in line:
            said[line["id"]].add(line["hash"])
    for line in found:
        if "hash" in line and said and line["hash"] not in said[line["id"]]:
            report.invented.append(f"{line['id']} has other words in {line['topic']} than on its lane")


def _first_of_each(lines: Iterable[Line]) -> Iterator[Line]:
    """Lines without the repetitions of an id."""
    met: set[str] = set()
    for line in lines:
        if line["id"] is not None and line["id"] not in met:
            met.add(line["id"])
            yield line


def _overtaken(lines: Iterable[Line]) -> Iterator[tuple[Line, Line]]:
    """Events that come after a later one of their source, with that one."""
    last: dict[str, Line] = {}
    for line in lines:
        before = last.setdefault(line["source"], line)
        if (line["epoch"], line["sequence"]) < (before["epoch"], before["sequence"]):
            yield line, before
        else:
            last[line["source"]] = line


def _place(line: Line) -> Place:
    return line["lane"], line["offset"]


def _at(line: Line) -> str:
    return f"{line['lane']}@{line['offset']}"


def _name(line: Line) -> str:
    if line.get("source") is None:
        return "a record"
    return f"{line['source']} {line['epoch']}/{line['sequence']} ({str(line.get('id'))[-12:]})"


def read_history(*paths: Path) -> Iterator[Line]:
    """The lines of history files; a last line that a kill has cut short is passed over."""
    for path in paths:
        with path.open(encoding="utf-8") as lines:
            for number, text in enumerate(lines, 1):
                if not text.endswith("\n"):
                    return
                try:
                    line = json.loads(text)
                    line["saw"]
                except (ValueError, KeyError, TypeError) as error:
                    raise ValueError(f"{path}:{number}: this is no line of a history: {error}") from None
                yield line


def main(arguments: list[str] | None = None) -> int:
    """The checker as a program."""
    parser = argparse.ArgumentParser(description="Say what is wrong with a history.")
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--late", type=float, help="seconds from acknowledgement to final verdict that are too many")
    parser.add_argument("--stages", default=",".join(STAGES), help=f"what was recorded (default {','.join(STAGES)})")
    parser.add_argument("--all-sound", action="store_true", help="nothing was published that deserves a refusal")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    asked = parser.parse_args(arguments)
    try:
        lines, stages = read_history(*asked.files), asked.stages.split(",")
        report = check(lines, stages=stages, late=asked.late, all_sound=asked.all_sound)
    except (OSError, ValueError, KeyError) as error:
        print(f"cannot read the history: {error}", file=sys.stderr)
        return 2
    print(json.dumps({**report.counts, "seen": report.seen, "slowest": report.slowest}) if asked.json else report)
    return 0 if report.clean else 1


if __name__ == "__main__":
    sys.exit(main())
