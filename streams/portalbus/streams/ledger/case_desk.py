"""Where a person's decision about a case is kept: who decided, and why. The step itself is on the centre's lane."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row

from portalbus.schemas.law.levels import GOVERNMENT_PORTAL

HAS = "select owner, state from ledger.case where case_id = %s for update"
UNDECIDED = """
select exists (
    select from ledger.case_decision d
    where d.case_id = %s and d.decided_at > now() - interval '1 hour' and not exists (
        select from ledger.event e
        where e.agency = %s and e.key = d.case_id and e.event_id = d.event_id and e.claims_id))"""
RECORD = """
insert into ledger.case_decision (case_id, event_id, from_agency, to_agency, decided_by, why)
values (%s, %s, %s, %s, %s, %s)"""
DECIDED = """
select d.case_id, d.event_id::text, d.from_agency, d.to_agency, d.decided_by, d.why, d.decided_at,
    (select e.rule from ledger.event e
        where e.agency = %(centre)s and e.key = d.case_id and e.event_id = d.event_id and e.claims_id) as rule
from ledger.case_decision d
where (%(case_id)s::text is null or d.case_id = %(case_id)s)
    and (%(agency)s::text is null
        or %(agency)s in (split_part(d.from_agency, '.', 1), split_part(d.to_agency, '.', 1)))
order by d.id desc limit %(limit)s"""


@dataclass(frozen=True, slots=True)
class CaseDecision:
    """A decision; `rule` is what the judge said to it, None while it was not judged."""

    case_id: str
    event_id: str
    from_agency: str
    to_agency: str
    decided_by: str
    why: str
    decided_at: datetime
    rule: str | None


class CaseNotOpen(Exception):
    """Nobody has this case: the ledger does not know it, or it has ended."""


class CaseMoved(Exception):
    """Somebody else has decided about this case meanwhile: what was seen of it is not so any more."""


def record_decision(
    connection: Connection[Any],
    case_id: str,
    event_id: str,
    to_agency: str,
    *,
    who: str,
    why: str,
    owner: str | None = None,
) -> str:
    """Writes a decision down, in the open transaction, to be said in it; returns who has the case.

    Raises CaseNotOpen; and CaseMoved when somebody else than `owner` has it, or another decision, of the last hour, was
    not judged yet.
    """
    row = connection.execute(HAS, (case_id,)).fetchone()
    if row is None:
        raise CaseNotOpen(f"the ledger knows no case {case_id}")
    has, state = row
    if state != "RECEIVED":
        raise CaseNotOpen(f"the case {case_id} is not open: open it again first")
    if owner is not None and has != owner:
        raise CaseMoved(f"{has} has the case {case_id} by now, and no longer {owner}")
    waits = connection.execute(UNDECIDED, (case_id, GOVERNMENT_PORTAL)).fetchone()
    if waits is not None and waits[0]:
        raise CaseMoved(f"a decision about the case {case_id} waits to be judged: see `portalbus cases decisions`")
    connection.execute(RECORD, (case_id, event_id, has, to_agency, who, why))
    return str(has)


def case_decisions(
    connection: Connection[Any], case_id: str | None = None, limit: int = 1_000, agency: str | None = None
) -> list[CaseDecision]:
    """What was decided about a case, or about all, the newest first; only from or to an agency where one is given."""
    asked = {"case_id": case_id, "limit": limit, "agency": agency, "centre": GOVERNMENT_PORTAL}
    with connection.cursor(row_factory=class_row(CaseDecision)) as cursor:
        return cursor.execute(DECIDED, asked).fetchall()
