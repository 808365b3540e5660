"""Accountability figures: what became of the cases that bodies received in a period, counted from casework's rows.

Each handling (a body's time with a case) is counted in exactly one of on_time, late, open, overdue, transferred,
diverted, withdrawn and split: they add up to `received`. A refusal is on time or late like an answer. The other figures
count what happened besides. Casework is a fold of the ledger, so they come out the same to the unit when it is folded
anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Any, LiteralString

from psycopg import Connection as SyncConnection

from portalbus.schemas.zone import ZONE
from portalbus.streams.reading.pool import Connection


class GroupBy(StrEnum):
    """What figures are given for."""

    AGENCY = "agency"
    LEVEL = "level"
    FIELD = "field"
    REGIME = "regime"
    MONTH = "month"


COLUMNS: dict[GroupBy, LiteralString] = {
    GroupBy.AGENCY: "h.agency",
    GroupBy.LEVEL: "h.level",
    GroupBy.FIELD: "coalesce(h.field, '')",
    GroupBy.REGIME: "h.regime",
    GroupBy.MONTH: "to_char(h.received_at at time zone 'Asia/Ho_Chi_Minh', 'YYYY-MM')",
}

COUNTS: LiteralString = """
count(*),
count(*) filter (where h.ending in ('ANSWERED', 'REFUSED') and coalesce(a.state, 'MET') = 'MET'),
count(*) filter (where h.ending in ('ANSWERED', 'REFUSED') and a.state <> 'MET'),
count(*) filter (where h.ending is null and coalesce(a.state, 'OPEN') <> 'MISSED'),
count(*) filter (where h.ending is null and a.state = 'MISSED'),
count(*) filter (where h.ending = 'TRANSFERRED'),
count(*) filter (where h.ending = 'DIVERTED'),
count(*) filter (where h.ending = 'WITHDRAWN'),
count(*) filter (where h.ending = 'SPLIT'),
count(*) filter (where h.ending = 'REFUSED'),
count(*) filter (where h.told_late),
count(*) filter (where a.state is null),
coalesce(sum(d.passed_on_late), 0)::bigint,
coalesce(sum(d.published_late), 0)::bigint,
coalesce(sum(d.progress_missed), 0)::bigint,
coalesce(sum(d.climbs), 0)::bigint,
coalesce(sum(h.returned), 0)::bigint,
coalesce(sum(h.extended), 0)::bigint,
count(*) filter (where h.reopened),
count(h.satisfaction),
coalesce(sum(h.satisfaction), 0)::bigint"""

SELECTED: LiteralString = """
from casework.handling h
left join casework.deadline a
    on a.case_id = h.case_id and a.handling = h.number and a.duty = 'ANSWER' and a.number = 1
left join lateral (
    select count(*) filter (where e.duty = 'PASS_ON') as passed_on_late,
        count(*) filter (where e.duty = 'PUBLISH') as published_late,
        count(*) filter (where e.duty = 'PROGRESS') as progress_missed,
        count(*) filter (where e.duty = 'ACKNOWLEDGE') as climbs
    from casework.escalation e where e.case_id = h.case_id and e.handling = h.number
) d on true
where h.received_at >= %(since)s and h.received_at < %(until)s
  and (%(agency)s::text is null or h.agency = %(agency)s or h.agency like %(agency)s || '.%%')"""

REASONS: LiteralString = """
, coalesce(h.reason_code, 'OTHER_GROUND'), count(*) from casework.handling h
where h.ending = 'REFUSED' and h.received_at >= %(since)s and h.received_at < %(until)s
  and (%(agency)s::text is null or h.agency = %(agency)s or h.agency like %(agency)s || '.%%')"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Of which handlings: received from `first` to `last` (days of Viet Nam), by one agency and its units, or all."""

    first: date
    last: date
    agency: str | None = None
    by: tuple[GroupBy, ...] = (GroupBy.AGENCY,)

    @property
    def values(self) -> dict[str, Any]:
        """The places of the queries."""
        return {
            "since": datetime.combine(self.first, time(), ZONE),
            "until": datetime.combine(self.last + timedelta(days=1), time(), ZONE),
            "agency": self.agency,
        }


@dataclass(frozen=True, slots=True)
class Counts:
    """How many handlings of one group. See the module for how they add up."""

    received: int = 0
    on_time: int = 0
    late: int = 0
    open: int = 0
    overdue: int = 0
    transferred: int = 0
    diverted: int = 0
    withdrawn: int = 0
    split: int = 0
    refused: int = 0
    told_late: int = 0
    """Answered in time as the agency says, while the centre heard of it when it was late."""
    without_term: int = 0
    """The regime has no term for an answer."""
    passed_on_late: int = 0
    published_late: int = 0
    progress_missed: int = 0
    climbs: int = 0
    """Levels that urgent cases climbed because nobody acknowledged them."""
    returned: int = 0
    extended: int = 0
    reopened: int = 0
    ratings: int = 0
    satisfaction_sum: int = 0

    @property
    def answered(self) -> int:
        """Answered or refused."""
        return self.on_time + self.late

    @property
    def satisfaction(self) -> float | None:
        """The mean of the ratings, 1 to 5, to two places; None where nobody rated."""
        return round(self.satisfaction_sum / self.ratings, 2) if self.ratings else None

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(Counts)))


@dataclass(frozen=True, slots=True)
class Figures:
    """The counts of one group. `group` says which, by what was grouped by; `refusals` are counts by reason code."""

    group: dict[str, str]
    counts: Counts
    refusals: dict[str, int] = field(default_factory=dict)


def figures_query(wanted: Wanted) -> tuple[LiteralString, LiteralString]:
    """The statements for counts and for refusals by reason, in the order of the groups."""
    group: LiteralString = ", ".join([COLUMNS[one] for one in wanted.by] or ["''"])
    places: LiteralString = ", ".join([["1", "2", "3", "4", "5"][number] for number in range(max(len(wanted.by), 1))])
    counts = f"select {group}, {COUNTS} {SELECTED} group by {places} order by {places}"
    reasons = f"select {group} {REASONS} group by {group}, coalesce(h.reason_code, 'OTHER_GROUND')"
    return counts, reasons


def figures_of(wanted: Wanted, counted: Iterable[Sequence[Any]], refused: Iterable[Sequence[Any]]) -> list[Figures]:
    """The figures from the rows of both statements."""
    width = max(len(wanted.by), 1)
    refusals: dict[tuple[str, ...], dict[str, int]] = {}
    for row in sorted(refused, key=lambda row: (-row[-1], row[-2])):
        refusals.setdefault(tuple(row[:width]), {})[row[-2]] = row[-1]
    return [
        Figures(
            dict(zip((one.value for one in wanted.by), row, strict=False)),
            Counts(*row[width:]),
            refusals.get(tuple(row[:width]), {}),
        )
        for row in counted
    ]


def read_figures(connection: SyncConnection[Any], wanted: Wanted) -> list[Figures]:
    """Counts now, over a plain connection."""
    counts, reasons = figures_query(wanted)
    return figures_of(wanted, connection.execute(counts, wanted.values), connection.execute(reasons, wanted.values))


async def figures(connection: Connection, wanted: Wanted) -> list[Figures]:
    """Counts now, over a connection of the reading pool."""
    counts, reasons = figures_query(wanted)
    counted = await (await connection.execute(counts, wanted.values)).fetchall()
    refused = await (await connection.execute(reasons, wanted.values)).fetchall()
    return figures_of(wanted, counted, refused)


def total(groups: Iterable[Figures]) -> Figures:
    """All groups together."""
    counts, refusals = Counts(), dict[str, int]()
    for one in groups:
        counts += one.counts
        for reason, number in one.refusals.items():
            refusals[reason] = refusals.get(reason, 0) + number
    return Figures({}, counts, dict(sorted(refusals.items(), key=lambda pair: (-pair[1], pair[0]))))


def as_plain(one: Figures) -> dict[str, Any]:
    """The figures of a group as plain values, for JSON."""
    counts = {name.name: getattr(one.counts, name.name) for name in fields(Counts) if name.name != "satisfaction_sum"}
    return {**one.group, **counts, "satisfaction": one.counts.satisfaction, "refusals": one.refusals}
