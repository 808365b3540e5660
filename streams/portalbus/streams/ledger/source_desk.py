"""What an operator sees of the sources, and how one is blocked and let speak again: recorded with who, when and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row

from portalbus.streams.ledger.order import take_turn
from portalbus.streams.ledger.steps import blocking_told, bounds_in_use, write_step

LIST = """
select s.agency, s.portal, s.status, s.first_heard_at, s.last_heard_at, s.epoch, s.last_sequence,
    coalesce(c.state, 'ok') as state, coalesce(c.state_since, s.first_heard_at) as state_since,
    b.decided_by, b.why, b.decided_at
from ledger.source s left join lateral (
    select decided_by, why, decided_at from ledger.source_blocking b
    where b.agency = s.agency and b.portal = s.portal order by b.id desc limit 1
) b on true
left join lateral (
    select state, state_since from ledger.cadence c where c.agency = s.agency and c.portal = s.portal
    order by array_position(array['ok', 'quiet', 'late', 'silent'], state) desc, state_since limit 1
) c on true
where (%(agency)s::text is null or s.agency = %(agency)s) and (not %(blocked)s or s.status = 'blocked')
order by s.agency, s.portal"""
KNOWN = "select status from ledger.source where agency = %s and portal = %s"
SET = "update ledger.source set status = %s where agency = %s and portal = %s"
RECORD = """
insert into ledger.source_blocking (agency, portal, status, decided_by, why) values (%s, %s, %s, %s, %s)"""


class SourceStatus(StrEnum):
    """Whether a source may speak."""

    ACTIVE = "active"
    BLOCKED = "blocked"


class SourceUnknown(Exception):
    """The ledger has never heard of this source."""


@dataclass(frozen=True, slots=True)
class ListedSource:
    """One source as an operator sees it, with the last decision about it; None where nobody ever decided.

    `state` (ok, quiet, late or silent) is the worst of its own and those of its event types, `state_since` when it
    began. It is not judged while the source is blocked.
    """

    agency: str
    portal: str
    status: str
    first_heard_at: datetime
    last_heard_at: datetime
    epoch: int
    last_sequence: int
    state: str
    state_since: datetime
    decided_by: str | None
    why: str | None
    decided_at: datetime | None


def list_sources(
    connection: Connection[Any], agency: str | None = None, *, blocked: bool = False
) -> list[ListedSource]:
    """The sources of one agency or of all that were ever heard; with `blocked`, only those that may not speak."""
    with connection.cursor(row_factory=class_row(ListedSource)) as cursor:
        return cursor.execute(LIST, {"agency": agency, "blocked": blocked}).fetchall()


def set_source(
    connection: Connection[Any], agency: str, portal: str, status: SourceStatus, *, who: str, why: str
) -> bool:
    """Blocks a source or lets it speak again, in the open transaction; False when it stands so already.

    It holds for what is judged after it, in the ledger's order, and is a step of that order: a replay finds the same.
    What came before and waits goes on. Raises SourceUnknown.
    """
    position, now = take_turn(connection)  # nothing is judged between the decision and its step
    row = connection.execute(KNOWN, (agency, portal)).fetchone()
    if row is None:
        raise SourceUnknown(f"nothing was ever heard of {agency}/{portal}")
    if row[0] == status.value:
        return False
    connection.execute(SET, (status.value, agency, portal))
    connection.execute(RECORD, (agency, portal, status.value, who, why))
    told = blocking_told(agency, portal, status.value)
    write_step(connection, told, position, position, now, bounds_in_use(connection))
    return True
