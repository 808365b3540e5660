"""What is wrong with what a scenario showed: pure functions, each with one promise in mind."""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files

from portalbus.connectors.conformance.making import Place, Said
from portalbus.connectors.conformance.running import Seen, Taken
from portalbus.connectors.conformance.scenario import Scenario
from portalbus.schemas.filled_texts import fill
from portalbus.schemas.models import Texts

HASTE = 0.9
"""Of the time asked for with Retry-After, so much has to pass: clocks differ a little."""

MOST_A_SECOND = 25
"""Requests with the same event that nobody needs within one second."""

MOST_AFTER_REFUSAL = 2
FINAL_REFUSALS = frozenset({400, 403, 404, 409, 413, 415, 422})


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, by its name in `texts.toml`; `advice` is no reason to withhold the certificate."""

    kind: str
    params: Mapping[str, str] = field(default_factory=dict)
    advice: bool = False

    @property
    def message(self) -> Texts:
        """What was seen, in three languages."""
        return fill(_texts()[self.kind]["what"], self.params)

    @property
    def mend(self) -> Texts:
        """What to do about it, in three languages."""
        return fill(_texts()[self.kind]["mend"], self.params)


def faults(scenario: Scenario, seen: Seen) -> list[Fault]:
    """Everything that is wrong with what was seen, the worst first."""
    return [
        *_lost_and_changed(seen),
        *_twice(seen),
        *_invented(seen),
        *_unreadable(seen),
        *_out_of_order(seen),
        *_not_refused(scenario, seen),
        *_refused_though_right(scenario, seen),
        *_still_waiting(seen),
        *_impatient(seen),
        *_decomposed(seen),
    ]


def _lost_and_changed(seen: Seen) -> Iterator[Fault]:
    for ref in sorted(seen.arrives):
        said = seen.said[ref]
        wanted = said.payload
        arrived = [event for event in seen.taken if event.place == said.place]
        if not arrived:
            yield Fault("lost", {"ref": ref, "seconds": f"{seen.waited:.0f}"})
        elif not any(event.payload == wanted for event in arrived):
            fields = sorted(_differing(arrived[0], said))
            yield Fault("changed", {"ref": ref, "fields": ", ".join(fields)})
        elif said.correlation is not None and arrived[0].envelope.correlation_id != said.correlation:
            yield Fault("changed", {"ref": ref, "fields": "correlation"})


def _twice(seen: Seen) -> Iterator[Fault]:
    ids: dict[Place, list[str]] = defaultdict(list)
    contents: dict[str, Taken] = {}
    reused: set[str] = set()
    for event in seen.taken:
        number = event.envelope.id
        if number not in ids[event.place]:
            ids[event.place].append(number)
        if contents.setdefault(number, event).payload != event.payload:
            reused.add(number)
    for place, found in ids.items():
        if len(found) > 1:
            yield Fault("twice", {"ref": _ref_of(seen, place), "count": str(len(found)), "ids": ", ".join(found[:5])})
    for number in sorted(reused):
        yield Fault("id-reused", {"id": number})


def _invented(seen: Seen) -> Iterator[Fault]:
    known = {said.place for said in seen.said.values()}
    for place in sorted({event.place for event in seen.taken} - known):
        yield Fault("invented", {"key": " ".join(place)})


def _unreadable(seen: Seen) -> Iterator[Fault]:
    for rule in sorted(set(seen.unreadable)):
        yield Fault("unreadable", {"rule": rule})


def _out_of_order(seen: Seen) -> Iterator[Fault]:
    """Of each document or case, what was published first comes first; the order is that of the source's sequence."""
    turn = {said.place: number for number, said in enumerate(seen.said.values())}
    last: dict[str, tuple[int, Place]] = {}
    known: set[str] = set()
    for event in seen.taken:
        place = event.place
        if event.envelope.id in known or place not in turn:
            continue
        known.add(event.envelope.id)
        before = last.get(event.key)
        if before is not None and turn[place] < before[0]:
            yield Fault("overtaken", {"ref": _ref_of(seen, before[1]), "other": _ref_of(seen, place)})
        last[event.key] = (turn[place], place)


def _not_refused(scenario: Scenario, seen: Seen) -> Iterator[Fault]:
    for ref, rules in scenario.refused.items():
        answer = seen.answers.get(ref, {})
        state, rule = str(answer.get("state", "–")), str(answer.get("rule") or "–")
        shown = {"ref": ref, "rules": ", ".join(rules), "state": state, "rule": rule}
        said = seen.said[ref]
        if any(event.payload == said.payload and event.envelope.agency == said.agency for event in seen.taken):
            yield Fault("taken-though-wrong", shown)
        if state != "refused":
            yield Fault("not-refused", shown)
        elif rule not in rules:
            yield Fault("wrong-rule", shown)


def _refused_though_right(scenario: Scenario, seen: Seen) -> Iterator[Fault]:
    for ref in sorted(seen.arrives):
        answer = seen.answers.get(ref, {})
        if answer.get("state") == "refused":
            yield Fault("refused-though-right", {"ref": ref, "rule": str(answer.get("rule") or "–")})


def _still_waiting(seen: Seen) -> Iterator[Fault]:
    if seen.waiting:
        yield Fault("still-waiting", {"count": str(seen.waiting), "seconds": f"{seen.waited:.0f}"})


def _impatient(seen: Seen) -> Iterator[Fault]:
    """Retry-After is kept, nobody is hammered, and what was refused for good is not sent again and again."""
    not_before: dict[str, tuple[float, float]] = {}
    times: dict[str, list[float]] = defaultdict(list)
    refusals: dict[str, int] = defaultdict(int)
    told: set[str] = set()
    for request in seen.requests:
        for number in request.event_ids:
            times[number].append(request.at)
            if number in not_before and "hurried" not in told:
                since, asked = not_before.pop(number)
                if request.at - since < asked * HASTE:
                    told.add("hurried")
                    yield Fault("hurried", {"asked": f"{asked:g}", "came": f"{request.at - since:.1f}"})
            if request.retry_after:
                not_before[number] = (request.at, request.retry_after)
            refusals[number] += request.status in FINAL_REFUSALS
    for number, found in times.items():
        most = max(sum(start <= at < start + 1 for at in found) for start in found)
        if most > MOST_A_SECOND:
            yield Fault("hammering", {"id": number, "count": str(most)})
        if refusals[number] > 1 + MOST_AFTER_REFUSAL:
            yield Fault("insisted", {"id": number, "count": str(refusals[number])})


def _decomposed(seen: Seen) -> Iterator[Fault]:
    if any(request.decomposed for request in seen.requests):
        yield Fault("decomposed", advice=True)


def _ref_of(seen: Seen, place: Place) -> str:
    return next((ref for ref, said in seen.said.items() if said.place == place), " ".join(place))


def _differing(event: Taken, said: Said) -> set[str]:
    wanted = said.payload
    if wanted is None:
        return {"/"}
    return {f"/{name}" for name, value in wanted.__dict__.items() if getattr(event.payload, name, None) != value}


@lru_cache(maxsize=1)
def _texts() -> dict[str, dict[str, dict[str, str]]]:
    text = files("portalbus.connectors.conformance").joinpath("texts.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
