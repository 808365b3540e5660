"""The figures of a run: counts by verdict, and how long it took until a reader could see what was published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from portalbus.infra.demo.plan import Door, Plan, Step
from portalbus.infra.demo.sent import SentLog
from portalbus.infra.demo.verdict_check import Place
from portalbus.infra.demo.watch import Seen
from portalbus.schemas.models import VerdictStatus

NS_PER_MS = 1_000_000


@dataclass(frozen=True)
class Latency:
    """Percentiles in milliseconds."""

    p50: float
    p95: float
    p99: float
    max: float
    count: int

    @classmethod
    def of(cls, nanoseconds: Sequence[int]) -> Latency:
        """The percentiles of these durations (nearest rank); zeros when there are none."""
        if not nanoseconds:
            return cls(0.0, 0.0, 0.0, 0.0, 0)
        ordered = sorted(nanoseconds)

        def rank(share: float) -> float:
            return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] / NS_PER_MS, 2)

        return cls(rank(0.50), rank(0.95), rank(0.99), rank(1.0), len(ordered))


@dataclass(frozen=True)
class Figures:
    """What happened in a run.

    `waiting_released` records stood in the waiting room until their cause came; `waiting` ones wait still.
    `end_to_end`: from the call of publish() until another connection to the ledger has read the first verdict on
    the event (so outbox, Kafka, judgement, commit and reading are all in it); portals with the SDK only, which is
    where publish() is. `publish_call`: how long publish() itself took.
    """

    sent: int
    accepted: int
    waiting: int
    waiting_released: int
    rejected: int
    duplicates: int
    parked: int
    rejected_by_rule: Mapping[str, int]
    parked_by_rule: Mapping[str, int]
    refused_by_sdk: Mapping[str, int]
    faults: Mapping[str, int]
    accepted_by_door: Mapping[str, int]
    end_to_end: Latency
    publish_call: Latency

    def as_json(self) -> dict[str, object]:
        """For the report file."""
        return asdict(self)


def figures(
    plan: Plan,
    log: SentLog,
    steps: Mapping[Place, Step],
    first: Mapping[Place, Seen],
    now: Mapping[Place, tuple[str, str]],
) -> Figures:
    """The figures of a run. `first`: first judgement on each record; `now`: status and rule of each at the end."""
    statuses = Counter(now[place][0] for place in steps if place in now)
    rules = Counter(now[place] for place in steps if place in now)
    visible, calls = [], []
    for place, step in steps.items():
        sent = log.of(step.number)
        if sent is not None and step.door is Door.SDK:
            calls.append(sent.returned_ns - sent.called_ns)
            if place in first:
                visible.append(first[place].seen_ns - sent.called_ns)
    released = [
        place
        for place in steps
        if place in first and first[place].status == VerdictStatus.WAITING and now[place][0] != "WAITING"
    ]
    return Figures(
        sent=len(steps),
        accepted=statuses["ACCEPTED"],
        waiting=statuses["WAITING"],
        waiting_released=len(released),
        rejected=statuses["REJECTED"],
        duplicates=statuses["DUPLICATE"],
        parked=statuses["PARKED"],
        rejected_by_rule=_by_rule(rules, "REJECTED"),
        parked_by_rule=_by_rule(rules, "PARKED"),
        refused_by_sdk=dict(Counter(sent.refused for sent in log.all() if sent.refused is not None)),
        faults=dict(sorted(plan.faults().items())),
        accepted_by_door=_by_door(steps, now),
        end_to_end=Latency.of(visible),
        publish_call=Latency.of(calls),
    )


def _by_door(steps: Mapping[Place, Step], now: Mapping[Place, tuple[str, str]]) -> dict[str, int]:
    found = Counter(step.door for place, step in steps.items() if now.get(place, ("", ""))[0] == "ACCEPTED")
    return {door.value: found[door] for door in Door if found[door]}


def _by_rule(rules: Mapping[tuple[str, str], int], status: str) -> dict[str, int]:
    found = {rule: count for (found_status, rule), count in rules.items() if found_status == status}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
