"""What is owed, to whom and since when, for those who owe it: lists from casework's rows. No text, no person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row

from portalbus.schemas.law.levels import DIGEST, GOVERNMENT_PORTAL

OWED = """
select d.case_id, d.handling, d.duty, d.number, d.agency, d.rule, d.due_on, d.due_at, d.state, h.regime, h.field
from casework.deadline d join casework.handling h on h.case_id = d.case_id and h.number = d.handling
where (d.state = 'MISSED' and h.ended_at is null or d.state = 'MISSED' and d.duty = 'PUBLISH'
       or not %(overdue)s and d.state in ('OPEN', 'PAUSED'))
  and (%(agency)s::text is null or d.agency = %(agency)s or d.agency like %(agency)s || '.%%')
  and d.duty <> 'ACKNOWLEDGE'
order by d.due_at nulls last, d.case_id limit %(limit)s"""

URGENT = """
select c.case_id, h.agency, h.field, h.area, h.received_at, u.authority, u.climbed, u.due_at
from casework.case c
join casework.handling h on h.case_id = c.case_id and h.ended_at is null
join lateral (
    select coalesce((array_agg(d.agency order by d.number) filter (where d.state = 'OPEN'))[1], %(digest)s)
            as authority,
        count(*) filter (where d.state = 'MISSED') as climbed,
        min(d.due_at) filter (where d.state = 'OPEN') as due_at
    from casework.deadline d
    where d.case_id = c.case_id and d.duty = 'ACKNOWLEDGE' and d.met_at is null and d.state <> 'VOID'
    group by d.handling having d.handling = h.number
        or (array_agg(d.agency order by d.number) filter (where d.state = 'OPEN'))[1] = %(centre)s
) u on true
where c.urgency = 'URGENT' and (%(authority)s::text is null or u.authority = %(authority)s)
order by u.due_at nulls first, c.case_id limit %(limit)s"""
"""Once all levels have missed it, a case is in the digest. One that was passed on without a word climbs there too,
beside the climb of who has it: it is on the list of whoever has to say that they have it."""


MISMATCHES = """
select r.case_id, r.named, r.suggested, r.rules, c.owner, h.field, h.area, h.received_at
from casework.routing r join casework.case c using (case_id)
join casework.handling h on h.case_id = r.case_id and h.number = 1
where r.differs and (%(agency)s::text is null
    or %(agency)s in (r.named, c.owner, split_part(r.named, '.', 1), split_part(c.owner, '.', 1)))
  and (%(all)s or split_part(c.owner, '.', 1) <> split_part(r.suggested, '.', 1)
    and exists (select from casework.handling o where o.case_id = r.case_id and o.ended_at is null))
order by h.received_at desc, r.case_id limit %(limit)s"""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A case that names another body than the rules of competence do; `owner` has it now."""

    case_id: str
    named: str
    suggested: str
    rules: list[str]
    owner: str
    field: str | None
    area: str | None
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Owed:
    """One deadline that is not met. `due_on` is None while the clock stands."""

    case_id: str
    handling: int
    duty: str
    number: int
    agency: str
    rule: str
    due_on: date | None
    due_at: datetime | None
    state: str
    regime: str
    field: str | None


@dataclass(frozen=True, slots=True)
class UrgentCase:
    """An urgent case that nobody has acknowledged. `authority` has to do it by `due_at`; `climbed` levels missed it."""

    case_id: str
    agency: str
    field: str | None
    area: str | None
    received_at: datetime
    authority: str
    climbed: int
    due_at: datetime | None


def owed(connection: Connection[Any], agency: str | None, *, overdue: bool = False, limit: int = 1_000) -> list[Owed]:
    """What is owed by an agency and its units (or by all), the most pressing first; all of it, or what is overdue."""
    with connection.cursor(row_factory=class_row(Owed)) as cursor:
        cursor.execute(OWED, {"agency": agency, "overdue": overdue, "limit": limit})
        return cursor.fetchall()


def urgent_cases(connection: Connection[Any], authority: str | None = None, limit: int = 1_000) -> list[UrgentCase]:
    """The urgent cases that wait for this authority (or anybody) to say that it has them; `DIGEST` for the digest."""
    with connection.cursor(row_factory=class_row(UrgentCase)) as cursor:
        cursor.execute(URGENT, {"authority": authority, "digest": DIGEST, "centre": GOVERNMENT_PORTAL, "limit": limit})
        return cursor.fetchall()


def mismatches(
    connection: Connection[Any], agency: str | None = None, *, ended: bool = False, limit: int = 1_000
) -> list[Mismatch]:
    """Open cases (or all) that name another body than the rules of competence do, the newest first.

    Those that the body of the rules has by now are not among the open ones. Of an agency: those that name it or one of
    its units, or that these have.
    """
    with connection.cursor(row_factory=class_row(Mismatch)) as cursor:
        cursor.execute(MISMATCHES, {"agency": agency, "all": ended, "limit": limit})
        return cursor.fetchall()
