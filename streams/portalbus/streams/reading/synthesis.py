"""The synthesis of a day: what came, where, how many; how fast it was answered; what is overdue; what was refused.

For the whole country, for one body and its units, or for one level of authority. Counted from casework's rows, a fold
of the ledger, so it comes out the same when it is folded anew. A day is a day of Viet Nam.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Any, LiteralString

from psycopg import Connection

from portalbus.schemas.zone import ZONE

MOST = 10
"""Fields, bodies and reasons that are named; the sums count all of them."""


class Level(StrEnum):
    """The levels of authority whose days are told apart."""

    CENTRAL = "central"
    """The Government Portal."""
    MINISTRY = "ministry"
    """Ministries and other bodies of the first level that are no province."""
    PROVINCE = "province"
    UNIT = "unit"
    """Communes, and other units of a province or ministry."""


LEVEL: LiteralString = """
case when h.level = 'L0' then 'central' when h.level = 'L2' then 'unit' when h.agency like 'H%%' then 'province'
    else 'ministry' end"""
HANDLING: LiteralString = f"""
(%(agency)s::text is null or h.agency = %(agency)s or h.agency like %(agency)s || '.%%')
and (%(level)s::text is null or {LEVEL} = %(level)s)"""

RECEIVED: LiteralString = f"""
select coalesce(h.field, ''), coalesce(h.area, ''), h.agency, count(*) from casework.handling h
where h.received_at >= %(begin)s and h.received_at < %(end)s and {HANDLING} group by 1, 2, 3"""
ANSWERED: LiteralString = f"""
select count(*), percentile_cont(0.5) within group (order by extract(epoch from h.ended_at - h.received_at)),
    percentile_cont(0.9) within group (order by extract(epoch from h.ended_at - h.received_at))
from casework.handling h
where h.ended_at >= %(begin)s and h.ended_at < %(end)s and h.ending in ('ANSWERED', 'REFUSED') and {HANDLING}"""
REFUSED: LiteralString = f"""
select coalesce(h.reason_code, 'OTHER_GROUND'), count(*) from casework.handling h
where h.ended_at >= %(begin)s and h.ended_at < %(end)s and h.ending = 'REFUSED' and {HANDLING}
group by 1 order by 2 desc, 1"""
BY_LEVEL: LiteralString = f"""
select {LEVEL}, count(*) filter (where h.received_at >= %(begin)s and h.received_at < %(end)s),
    count(*) filter (where h.ended_at >= %(begin)s and h.ended_at < %(end)s and h.ending in ('ANSWERED', 'REFUSED')),
    count(*) filter (where h.ended_at >= %(begin)s and h.ended_at < %(end)s and h.ending = 'REFUSED')
from casework.handling h
where (h.received_at >= %(begin)s and h.received_at < %(end)s or h.ended_at >= %(begin)s and h.ended_at < %(end)s)
  and {HANDLING} group by 1"""
OVERDUE: LiteralString = f"""
select d.agency, count(*), min(d.due_at), {LEVEL} from casework.deadline d
join casework.handling h on h.case_id = d.case_id and h.number = d.handling
where d.duty = 'ANSWER' and d.state <> 'VOID' and d.due_at < %(end)s
  and (d.met_at is null or d.met_at >= %(end)s) and (h.ended_at is null or h.ended_at >= %(end)s) and {HANDLING}
group by 1, 4 order by 2 desc, 1"""
WARNED: LiteralString = """
select kind, agency, topic, since, closed_at from ledger.alert
where since < %(end)s and (closed_at is null or closed_at >= %(begin)s) and topic <> ''
  and (%(agency)s::text is null or agency = %(agency)s or agency like %(agency)s || '.%%')
order by since, kind, topic"""


@dataclass(frozen=True, slots=True)
class Overdue:
    """Answers that a body owed at the end of the day; `oldest` was due first."""

    agency: str
    count: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class Warned:
    """An incident of early warning that was open on the day."""

    kind: str
    agency: str
    topic: str
    since: datetime
    closed_at: datetime | None


@dataclass(slots=True)
class LevelDay:
    """The day of all bodies of a level."""

    received: int = 0
    answered: int = 0
    refused: int = 0
    overdue: int = 0


@dataclass(frozen=True, slots=True)
class Synthesis:
    """A day. Names stand with their counts, the largest first; hours are from receipt to answer."""

    day: date
    agency: str | None
    level: Level | None
    received: int
    by_field: dict[str, int]
    by_area: dict[str, int]
    by_agency: dict[str, int]
    by_level: dict[Level, LevelDay]
    """Every level of which there is anything to say, from the top down."""
    answered: int
    median_hours: float | None
    ninth_hours: float | None
    """Nine of ten were answered within so many hours."""
    refused: int
    refusals: dict[str, int]
    overdue: tuple[Overdue, ...]
    incidents: tuple[Warned, ...]


def read_synthesis(
    connection: Connection[Any], day: date, agency: str | None = None, level: Level | None = None
) -> Synthesis:
    """The synthesis of a day, of the country or of a body and its units, of all levels or of one."""
    begin = datetime.combine(day, time(), ZONE)
    values = {"begin": begin, "end": begin + timedelta(days=1), "agency": agency, "level": level}
    came = connection.execute(RECEIVED, values).fetchall()
    answered = connection.execute(ANSWERED, values).fetchone() or (0, None, None)
    refused = connection.execute(REFUSED, values).fetchall()
    overdue = connection.execute(OVERDUE, values).fetchall()
    return Synthesis(
        day=day,
        agency=agency,
        level=level,
        received=sum(row[3] for row in came),
        by_field=_largest(came, 0),
        by_area=_largest(came, 1),
        by_agency=_largest(came, 2),
        by_level=_by_level(connection.execute(BY_LEVEL, values).fetchall(), overdue),
        answered=answered[0],
        median_hours=_hours(answered[1]),
        ninth_hours=_hours(answered[2]),
        refused=sum(count for _, count in refused),
        refusals=dict(refused[:MOST]),
        overdue=tuple(Overdue(*row[:3]) for row in overdue),
        incidents=tuple(Warned(*row) for row in connection.execute(WARNED, values)),
    )


def _by_level(counts: list[tuple[Any, ...]], overdue: list[tuple[Any, ...]]) -> dict[Level, LevelDay]:
    found = {level: LevelDay(*numbers) for level, *numbers in counts}
    for _, count, _, level in overdue:
        found.setdefault(level, LevelDay()).overdue += count
    return {level: found[level] for level in Level if level in found}


def _largest(rows: list[tuple[Any, ...]], column: int) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row[column]] = counts.get(row[column], 0) + row[3]
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST])


def _hours(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds / 3_600, 1)
