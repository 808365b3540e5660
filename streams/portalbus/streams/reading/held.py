"""Cases that lie with the Government Portal as they were received, and what the rules of competence make of them.

Nobody took them up: no step but of their urgency, no answer, and nothing that the Government Portal tried in vain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, LiteralString

from psycopg import Connection
from psycopg.rows import class_row

from portalbus.schemas.directory import AgencyDirectory
from portalbus.schemas.facts import legal_day
from portalbus.schemas.law.competence import Competence
from portalbus.schemas.law.levels import GOVERNMENT_PORTAL
from portalbus.schemas.law.limits import Limits
from portalbus.schemas.law.routing import Matter
from portalbus.schemas.law.ruling import Ruling, rule

HELD: LiteralString = """
select c.case_id, c.receiver, c.field, c.area, c.urgent, c.received_at, c.position,
    d.event_id::text, d.decided_by, d.to_agency, d.why, d.decided_at,
    now() - d.decided_at as age, e.rule as judged,
    coalesce(e.event_id is null and d.decided_at > now() - interval '1 hour', false) as pending
from ledger.case c
left join lateral (
    select * from ledger.case_decision d where d.case_id = c.case_id order by d.id desc limit 1) d on true
left join ledger.event e
    on e.agency = %(centre)s and e.key = c.case_id and e.event_id = d.event_id and e.claims_id
where c.state = 'RECEIVED' and c.stage = 'RECEIVED' and c.owner = %(centre)s and c.addressed_to = %(centre)s
  and (%(case)s::text is null or c.case_id = %(case)s) and c.position > %(after)s
  and not exists (select from ledger.case_step s where s.case_id = c.case_id and s.step <> 'URGENCY_CHANGED')
  and not exists (
    select from ledger.event f where f.key = c.case_id and f.agency = %(centre)s and f.status = 'REJECTED'
        and f.event_type in ('FeedbackProgressed', 'FeedbackResolved') and f.event_id is distinct from d.event_id)
order by c.urgent desc, c.received_at, c.case_id"""


@dataclass(frozen=True, slots=True)
class HeldCase:
    """A case that nobody took up, with the newest decision about it; `judged` is what the judge said to that.

    The decision is `pending` for an hour at most: one that was not judged by then is none any more.
    """

    case_id: str
    receiver: str
    field: str | None
    area: str | None
    urgent: bool
    received_at: datetime
    position: int
    event_id: str | None
    decided_by: str | None
    to_agency: str | None
    why: str | None
    decided_at: datetime | None
    age: timedelta | None
    judged: str | None
    pending: bool

    @property
    def matter(self) -> Matter:
        """What the rules look at: they are those of the day on which the case was received."""
        return Matter(self.field or "", self.area, legal_day(self.received_at), received_by=self.receiver)

    @property
    def is_decided(self) -> bool:
        """True when somebody has decided about it, whatever came of it."""
        return self.event_id is not None


@dataclass(frozen=True, slots=True)
class InForce:
    """What the rules are asked with: as they and the directory are in force, on a day."""

    competence: Competence
    directory: AgencyDirectory
    limits: Limits
    today: date
    _known: dict[Matter, Ruling] = field(default_factory=dict, init=False, repr=False)

    def ruling(self, case: HeldCase) -> Ruling:
        """What the rules make of a case; of cases that they see alike they are asked once."""
        matter = case.matter
        found = self._known.get(matter)
        if found is None:
            found = self._known[matter] = rule(matter, self.today, self.competence, self.directory, self.limits)
        return found


def held(connection: Connection[Any], case_id: str | None = None, after: int = 0) -> Iterator[HeldCase]:
    """Every case, or one, that nobody took up and that changed after a position; urgent ones first, then the oldest."""
    with connection.cursor(row_factory=class_row(HeldCase)) as cursor:
        yield from cursor.execute(HELD, {"centre": GOVERNMENT_PORTAL, "case": case_id, "after": after})
