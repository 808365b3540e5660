"""Urgent cases that nobody has taken: who missed them and when, who is asked now, and which have reached the top."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString, NamedTuple

from psycopg import Connection

from portalbus.schemas.law.levels import DIGEST

ON_TOP = """
select case_id || '#' || handling from casework.escalation
where kind = 'ESCALATED' and told_to = %s and closed_at is null"""
UNCLAIMED: LiteralString = """
select c.case_id, h.number, l.public_code, h.agency, h.field, h.area, h.received_at, d.agency, d.due_at, d.state
from casework.case c
join casework.handling h on h.case_id = c.case_id and h.ended_at is null
join casework.deadline d on d.case_id = c.case_id and d.handling = h.number and d.duty = 'ACKNOWLEDGE'
left join ledger.case l on l.case_id = c.case_id
where c.urgency = 'URGENT' and d.state in ('MISSED', 'OPEN') and not exists (
    select from casework.deadline o where o.case_id = d.case_id and o.handling = d.handling and o.duty = d.duty
        and o.met_at is not null)
order by h.received_at, c.case_id, d.number"""


class Level(NamedTuple):
    """A body that had to take the case by a moment."""

    agency: str
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Unclaimed:
    """An urgent case that nobody has taken. `public_code` is None while the case itself is not judged yet."""

    case_id: str
    handling: int
    public_code: str | None
    agency: str
    field: str | None
    area: str | None
    received_at: datetime
    missed: tuple[Level, ...]
    asked: Level | None
    """Who has to take it now; None once the last one has missed it too: then it stands before the Government."""

    @property
    def key(self) -> str:
        """The same for as long as it is nobody's; another one when somebody else has the case."""
        return f"{self.case_id}#{self.handling}"

    @property
    def on_top_since(self) -> datetime | None:
        """When the last one missed it; None while somebody is asked."""
        return self.missed[-1].due_at if self.asked is None else None


def keys_on_top(connection: Connection[Any]) -> frozenset[str]:
    """The keys of the cases that nobody took, up to the top level."""
    return frozenset(key for (key,) in connection.execute(ON_TOP, (DIGEST,)))


def unclaimed_cases(connection: Connection[Any]) -> list[Unclaimed]:
    """Every urgent case that nobody has taken, the oldest first."""
    found: dict[tuple[str, int], Unclaimed] = {}
    for case_id, handling, code, agency, field, area, received_at, *level, state in connection.execute(UNCLAIMED):
        known = found.get((case_id, handling))
        missed = known.missed if known else ()
        asked = known.asked if known else None
        if state == "MISSED":
            missed = (*missed, Level(*level))
        else:
            asked = asked or Level(*level)
        found[case_id, handling] = Unclaimed(case_id, handling, code, agency, field, area, received_at, missed, asked)
    return list(found.values())
