"""Where a person's decision about a case is kept: who decided, and why. The step itself is on the centre's lane."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row

HAS = "select owner, state from ledger.case where case_id = %s"
RECORD = """
insert into ledger.case_decision (case_id, event_id, from_agency, to_agency, decided_by, why)
values (%s, %s, %s, %s, %s, %s)"""
DECIDED = """
select d.case_id, d.event_id::text, d.from_agency, d.to_agency, d.decided_by, d.why, d.decided_at,
    (select e.rule from ledger.event e where e.key = d.case_id and e.event_id = d.event_id and e.claims_id) as rule
from ledger.case_decision d
where %(case_id)s::text is null or d.case_id = %(case_id)s order by d.id desc limit %(limit)s"""


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


def record_decision(
    connection: Connection[Any], case_id: str, event_id: str, to_agency: str, *, who: str, why: str
) -> str:
    """Writes a decision down, in the open transaction, to be said in it; returns who has it. Raises CaseNotOpen."""
    row = connection.execute(HAS, (case_id,)).fetchone()
    if row is None:
        raise CaseNotOpen(f"the ledger knows no case {case_id}")
    owner, state = row
    if state != "RECEIVED":
        raise CaseNotOpen(f"the case {case_id} is not open: open it again first")
    connection.execute(RECORD, (case_id, event_id, owner, to_agency, who, why))
    return str(owner)


def case_decisions(connection: Connection[Any], case_id: str | None = None, limit: int = 1_000) -> list[CaseDecision]:
    """What was decided about a case, or about all, the newest first."""
    with connection.cursor(row_factory=class_row(CaseDecision)) as cursor:
        return cursor.execute(DECIDED, {"case_id": case_id, "limit": limit}).fetchall()
