"""What a stateless rule may know besides the event: the directory and the time of judgement."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone

from portalbus.schemas.computed import computed
from portalbus.schemas.directory import AgencyDirectory, directory
from portalbus.schemas.errors import AgencyUnknown
from portalbus.schemas.findings import Finding
from portalbus.schemas.law.limits import Limits, limits
from portalbus.schemas.models import Event

VIET_NAM = timezone(timedelta(hours=7))
"""The legal day begins at midnight there; the country has had no other offset since 1975."""

MAX_AHEAD = timedelta(days=1)
"""Wide: by the time the centre judges, nobody is there any more who could set a clock right and say it again."""
MAX_AHEAD_AT_GATEWAY = timedelta(minutes=5)
"""Narrow: whoever sends is told at once, and keeps the event."""


@dataclass(frozen=True)
class Facts:
    """What a stateless rule may know besides the event: the directory, the time of judgement (UTC), and the limits.

    `ahead` is how far beyond that time a moment may lie.
    """

    directory: AgencyDirectory
    now: datetime
    limits: Limits = field(default_factory=limits)
    ahead: timedelta = MAX_AHEAD

    @computed
    def today(self) -> date:
        """The legal day of judgement: the date in Viet Nam."""
        return legal_day(self.now)


def facts_now() -> Facts:
    """The facts of this moment, for what is typed and not yet sent."""
    return Facts(directory(), datetime.now(UTC))


def legal_day(moment: datetime) -> date:
    """The date in Viet Nam."""
    return moment.astimezone(VIET_NAM).date()


Rule = Callable[[Event, Facts], Iterator[Finding]]


def agency_exists(code: str, path: str, facts: Facts) -> Iterator[Finding]:
    """The agency exists today; for one that was abolished, the finding names its successors."""
    today = facts.today
    try:
        facts.directory.agency(code, today)
    except AgencyUnknown:
        try:
            heirs = facts.directory.successors(code, today)
        except AgencyUnknown:
            yield Finding("agency.unknown", path, {"code": code})
        else:
            names = ", ".join(heir.code for heir in heirs) or "–"
            yield Finding("agency.abolished", path, {"code": code, "successors": names})
