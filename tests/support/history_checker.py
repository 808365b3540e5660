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
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from history_report import Line, Place, Report, at, name_of, place_of
from history_safety import Order, Safety, Sorted

STAGES = ("laid", "judged", "effect", "canonical", "verdict")


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
    history, report = _History(lines), Report()
    Safety(stages, report).take(history)
    if "laid" in stages:
        _check_lanes(history, report)
    if "judged" in stages:
        _check_judgements(history, report, laid="laid" in stages)
        if all_sound:
            _check_refusals(history, report)
        _check_delay(history, report, late)
    if "effect" in stages:
        _check_effects(history, report, judged="judged" in stages)
    for kind in ("canonical", "verdict"):
        if kind in stages:
            _check_sent(kind, history, report)
    return report


class _History(Sorted):
    """All lines, sorted into what each check asks for."""

    def __init__(self, lines: Iterable[Line]) -> None:
        super().__init__(lines)
        self.accepted = {line["position"]: line for line in self.judged if line["status"] == "ACCEPTED"}
        self.shown = {p: line for p, line in self.accepted.items() if line.get("type") != "Canary"}
        """What is accepted and has an effect: a canary has none, and nobody but the centre sees it."""
        self.tried = {line["id"] for kind in ("attempted", "acknowledged") for line in self.by_kind[kind]}


def _check_lanes(history: _History, report: Report) -> None:
    on_lane = {line["id"] for line in history.laid}
    report.lost += [f"{name_of(line)} is on no lane" for line in history.acknowledged if line["id"] not in on_lane]


def _check_judgements(history: _History, report: Report, *, laid: bool) -> None:
    positions = {line["position"] for line in [*history.judged, *history.by_kind["noticed"]]}
    if positions and len(positions) != max(positions):
        report.lost.append(f"{max(positions) - len(positions)} positions of the ledger hold nothing")
    judged: dict[Place, Line] = {}
    decided, verdicts = set(), set()
    for line in history.judged:
        judged.setdefault(place_of(line), line)
        if line["final"]:
            decided.add(place_of(line))
            if line["status"] != "DUPLICATE":
                verdicts.add(line.get("id"))
    if laid:
        report.lost += [
            f"{name_of(line)} at {at(line)} was never judged" for line in history.laid if place_of(line) not in judged
        ]
    report.undecided += [
        f"{name_of(line)} at {at(line)} has no final verdict" for place, line in judged.items() if place not in decided
    ]
    report.undecided += [
        f"{name_of(line)} was acknowledged and has no final verdict"
        for line in history.acknowledged
        if line["id"] not in verdicts
    ]


def _check_refusals(history: _History, report: Report) -> None:
    """What was acknowledged was accepted; what was not decided at all is named elsewhere."""
    accepted = {line["id"] for line in history.accepted.values()}
    refusals = {line["id"]: line["rule"] for line in history.judged if line["status"] == "REJECTED"}
    report.lost += [
        f"{name_of(line)} was acknowledged and then refused by {refusals[line['id']]}"
        for line in history.acknowledged
        if line["id"] in refusals and line["id"] not in accepted
    ]


def _check_delay(history: _History, report: Report, late: float | None) -> None:
    promised = {line["id"]: line["at"] for line in history.acknowledged if "at" in line}
    for line in history.judged:
        since = promised.pop(line.get("id"), None) if line["final"] and "at" in line else None
        if since is None:
            continue
        report.slowest = max(report.slowest or 0.0, line["at"] - since)
        if late is not None and line["at"] - since > late:
            report.late.append(f"{name_of(line)} was decided {line['at'] - since:.2f} s after its acknowledgement")


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
            report.lost.append(f"{name_of(line)} was accepted at {position}, and the store does not show it")
    report.doubled += [f"the effect at {position} shows {n} times" for position, n in shown.items() if n > 1]
    for line in effects:
        if history.accepted.get(line["position"], {}).get("key") != line["key"]:
            report.invented.append(f"{line['type']} {line['key']} stands at {line['position']}; not accepted there")


def _check_plain_effects(history: _History, effects: list[Line], report: Report) -> None:
    """For stores without a ledger: effects in the order in which they happened, each with the id of its event."""
    times = Counter(line["id"] for line in effects)
    report.lost += [f"{name_of(line)} had no effect" for line in history.acknowledged if not times[line["id"]]]
    report.doubled += [f"{event_id} took effect {n} times" for event_id, n in times.items() if n > 1]
    report.invented += [f"{event_id} was never published" for event_id in times if event_id not in history.tried]
    order = Order()
    for line in _first_of_each(effects):
        if (before := order.overtaken(line)) is not None:
            report.reordered.append(f"{name_of(line)} took effect after {name_of(before)}")


def _check_sent(kind: str, history: _History, report: Report) -> None:
    """What the ledger decided was sent."""
    wanted = history.shown if kind == "canonical" else {line["position"]: line for line in history.judged}
    sent = {line["position"] for line in history.by_kind[kind]}
    report.lost += [f"{name_of(line)} at {p}: no {kind} was sent" for p, line in wanted.items() if p not in sent]


def _first_of_each(lines: Iterable[Line]) -> Iterator[Line]:
    """Lines without the repetitions of an id."""
    met: set[str] = set()
    for line in lines:
        if line["id"] is not None and line["id"] not in met:
            met.add(line["id"])
            yield line


def read_history(*paths: Path) -> Iterator[Line]:
    """The lines of history files; a last line that a kill has cut short is passed over."""
    for path in paths:
        yield from HistoryTail(path).read()


class HistoryTail:
    """A history file that still grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bytes = self._lines = 0

    def read(self) -> Iterator[Line]:
        """The whole lines that have come since the last time. Raises ValueError at what is no line of a history."""
        with self._path.open("rb") as lines:
            lines.seek(self._bytes)
            for text in lines:
                if not text.endswith(b"\n"):
                    return
                self._bytes += len(text)
                self._lines += 1
                try:
                    line = json.loads(text)
                    line["saw"]
                except (ValueError, KeyError, TypeError) as error:
                    raise ValueError(f"{self._path}:{self._lines}: this is no line of a history: {error}") from None
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
