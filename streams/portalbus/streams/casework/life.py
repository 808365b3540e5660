"""The life of a case as the law's clock sees it: who has had it, since when, and what was done. No text, no person."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from portalbus.schemas.law.facts import CaseFacts, Climb, Extension, Pause


class Ending(StrEnum):
    """How a body's handling of a case ended."""

    ANSWERED = "ANSWERED"
    REFUSED = "REFUSED"
    TRANSFERRED = "TRANSFERRED"
    DIVERTED = "DIVERTED"
    WITHDRAWN = "WITHDRAWN"
    SPLIT = "SPLIT"


@dataclass(slots=True)
class Paused:
    """The clock stands from `since` to `until`; None while it does."""

    since: datetime
    until: datetime | None = None


@dataclass(slots=True)
class Extended:
    """The agency told another day for its answer."""

    told: datetime
    due_on: date


@dataclass(slots=True)
class Climbed:
    """The case was urgent since then, until somebody acknowledged it, or it ended or was urgent no more."""

    since: datetime
    acknowledged: datetime | None = None
    ended: datetime | None = None

    @property
    def is_open(self) -> bool:
        """True while it climbs."""
        return self.acknowledged is None and self.ended is None


@dataclass(slots=True)
class Handling:
    """One body's time with a case. Moments are those the agency tells, never later than when the centre heard it."""

    number: int
    agency: str
    received: datetime
    reopened: bool = False
    passed_on: datetime | None = None
    answered: datetime | None = None
    refused: datetime | None = None
    published: datetime | None = None
    is_private: bool = False
    ended: datetime | None = None
    ending: Ending | None = None
    reason_code: str | None = None
    passed_to_another: datetime | None = None
    heard: datetime | None = None
    """When the centre heard of the answer: after it was due, although given in time, counts as told late."""
    returned: int = 0
    satisfaction: int | None = None
    pauses: list[Paused] = field(default_factory=list)
    extensions: list[Extended] = field(default_factory=list)
    progress_told: list[datetime] = field(default_factory=list)
    climbs: list[Climbed] = field(default_factory=list)

    def facts(self, regime: str) -> CaseFacts:
        """What the deadlines follow from."""
        return CaseFacts(
            regime=regime,
            agency=self.agency,
            received=self.received,
            passed_on=self.passed_on,
            answered=self.answered,
            refused=self.refused,
            published=self.published,
            ended=self.ended,
            is_private=self.is_private,
            pauses=tuple(Pause(pause.since, pause.until) for pause in self.pauses),
            extensions=tuple(Extension(one.told, one.due_on) for one in self.extensions),
            progress_told=tuple(self.progress_told),
            climbs=tuple(Climb(one.since, one.acknowledged, one.ended) for one in self.climbs),
            passed_to_another=self.passed_to_another,
        )

    def pause(self, since: datetime) -> None:
        """The clock stands from now on; nothing changes while it does."""
        if not self.pauses or self.pauses[-1].until is not None:
            self.pauses.append(Paused(since))

    def go_on(self, until: datetime) -> None:
        """The clock goes on."""
        if self.pauses and self.pauses[-1].until is None:
            self.pauses[-1].until = max(until, self.pauses[-1].since)


@dataclass(slots=True)
class Life:
    """One case. `seen` are the ids of its events: one that comes again, restored, says nothing new.

    `heard` is when the centre heard of it; `split_by` and `children` who split it, and into which cases.
    """

    case_id: str
    regime: str
    category: int
    field: str | None
    area: str | None
    state: str
    urgent: bool
    handlings: list[Handling]
    seen: list[str]
    heard: datetime
    split_by: str | None = None
    children: tuple[str, ...] = ()

    def begin_climb(self, since: datetime) -> None:
        """The case is urgent, and who has it now has to say so."""
        self.now.climbs.append(Climbed(since))

    def acknowledge(self, at: datetime) -> None:
        """Somebody said that they have it: that is what everybody waited for who had it before."""
        for climb in self._climbing():
            climb.acknowledged = at

    def end_climbs(self, at: datetime) -> None:
        """The case ended, or is urgent no more: what was missed until now stays missed."""
        for climb in self._climbing():
            climb.ended = max(at, climb.since)

    def _climbing(self) -> list[Climbed]:
        return [climb for handling in self.handlings for climb in handling.climbs if climb.is_open]

    @property
    def now(self) -> Handling:
        """The handling under way, or the last one."""
        return self.handlings[-1]
