"""Events that came or took effect behind later ones of their source: what the checker excuses, counted and bounded.

The checker lets an event come late when its place was asked for at any time. Here it has to be so that it came after
that, and where it took effect behind a later one, after nobody had to wait for it any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg import Connection

from ledger_facts import rows
from promises import BrokenPromise

ASKED_FOR = """
select value ->> 'agency' || '/' || (value ->> 'portal'), (value ->> 'epoch')::int, (value ->> 'first')::int8,
       (value ->> 'last')::int8, position, (value ->> 'requested_at')::timestamptz
from ledger.notice where record = 'ResendRequested' order by position"""
HEARD = """
select e.agency || '/' || e.portal, e.epoch, e.sequence, e.received_at, min(j.position),
       min(j.position) filter (where j.status = 'ACCEPTED')
from ledger.event e join ledger.judgement j using (agency, lane_offset)
where e.claims_id and e.epoch is not null
group by e.agency, e.lane_offset having not bool_or(not j.final and not starts_with(j.rule, 'source.'))
order by e.agency, e.lane_offset"""
"""In the order of the lanes, without those that had to wait for their cause: these take effect after it."""


class Asked(NamedTuple):
    """The centre asked for these places of a source at this position, at this time of their lane."""

    source: str
    epoch: int
    first: int
    last: int
    position: int
    at: datetime


class Heard(NamedTuple):
    """An event that came at this time of its lane, was first judged here, and took effect there, if it did."""

    source: str
    epoch: int
    sequence: int
    at: datetime
    judged: int
    accepted: int | None

    @property
    def place(self) -> tuple[int, int]:
        """Epoch and number."""
        return self.epoch, self.sequence


@dataclass
class LateComers:
    """How many places were asked for, how many events came or took effect late, and which of them without excuse."""

    asked: int = 0
    came: int = 0
    took_effect: int = 0
    without_excuse: list[str] = field(default_factory=list)

    def figures(self) -> str:
        """One line for people."""
        return (
            f"{self.asked} places asked for, {self.came} of these came behind later events and {self.took_effect} took"
            f" effect behind later ones, {len(self.without_excuse)} without excuse"
        )

    def must_be_excused(self) -> None:
        """Raises BrokenPromise for whatever was late and no gap says why."""
        if self.without_excuse:
            raise BrokenPromise("\n".join([self.figures(), *self.without_excuse[:10]]))


def late_comers(asked: Sequence[Asked], heard: Iterable[Heard], hold: timedelta) -> LateComers:
    """Counts them; `heard` in the order of the lanes, `hold` is how long others wait for what is missing."""
    asked_at: dict[tuple[str, int, int], Asked] = {}
    for one in asked:
        for number in range(one.first, one.last + 1):
            asked_at.setdefault((one.source, one.epoch, number), one)
    found, by_source = LateComers(len(asked_at)), _by_source(heard)
    for source, events in by_source.items():
        for event in _overtaken(events):
            found.came += 1
            why = asked_at.get((source, *event.place))
            if why is None or why.position >= event.judged:
                found.without_excuse.append(f"{source} {event.place} came late, and nobody had asked for it")
        effects = sorted((e.accepted, e) for e in events if e.accepted is not None)
        for event in _overtaken([event for _, event in effects]):
            found.took_effect += 1
            why = asked_at.get((source, *event.place))
            if why is None or event.at - why.at <= hold:
                found.without_excuse.append(f"{source} {event.place} came in time and took effect late")
    return found


def of_ledger(connection: Connection[Any], hold: timedelta) -> LateComers:
    """Those that a ledger tells of."""
    asked = [Asked(*row) for row in rows(connection, ASKED_FOR)]
    return late_comers(asked, [Heard(*row) for row in rows(connection, HEARD)], hold)


def _by_source(heard: Iterable[Heard]) -> dict[str, list[Heard]]:
    found: dict[str, list[Heard]] = {}
    for event in heard:
        found.setdefault(event.source, []).append(event)
    return found


def _overtaken(events: Iterable[Heard]) -> list[Heard]:
    found, last = [], (0, 0)
    for event in events:
        if event.place < last:
            found.append(event)
        last = max(last, event.place)
    return found
