"""What an office reads about its own events: what waits and for what, what was refused and why, what drifted.

Nothing here shows what an event says: rules, places and times only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row

from portalbus.schemas.catalogue import catalogue
from portalbus.schemas.findings import Finding

LINE = """
select e.agency, e.lane_offset, e.portal, e.sequence, e.event_type, e.event_id::text, e.key, e.received_at, e.rule,
    coalesce(j.path, '') as path, coalesce(j.params, '{}') as params"""
WAITING = f"""{LINE}, w.until
from ledger.waiting w join ledger.event e using (agency, lane_offset)
left join ledger.judgement j on j.position = e.position
where w.agency = %s order by w.received_at, w.lane_offset limit %s"""
REFUSED = f"""{LINE}, null::timestamptz as until
from ledger.event e left join ledger.judgement j on j.position = e.position
where e.agency = %s and e.status = 'REJECTED' order by e.lane_offset desc limit %s"""
DRIFT = """
select kind, place, count(*) filter (where healed_at is null) as open,
    count(*) filter (where healed_at is not null) as healed, max(found_at) as found_at, max(healed_at) as healed_at,
    max(healed_from) filter (where healed_at is not null) as healed_from, bool_or(asked > 0) as asked
from ledger.repair
where agency = %(agency)s and (healed_at is null or healed_at > now() - interval '30 days')
group by kind, place, healed_at is null order by (healed_at is null) desc, max(found_at) desc limit %(limit)s"""
IN_HAND = """
select count(*) as cases, count(*) filter (where d.state = 'MISSED' or d.due_at < %(now)s) as late,
    min(d.due_on) filter (where d.state = 'OPEN' and d.due_at >= %(now)s) as next_due
from casework.handling h left join casework.deadline d
    on d.case_id = h.case_id and d.handling = h.number and d.duty = 'ANSWER' and d.number = 1
where h.ended_at is null and (h.agency = %(agency)s or h.agency like %(agency)s || '.%%')"""
COMPARED = """
select max(finished_at) as any_at, max(finished_at) filter (where whole) as whole_at from ledger.reconciliation"""


@dataclass(frozen=True, slots=True)
class OwnEvent:
    """One event of an agency that waits (then `until`, lane time) or was refused; `finding` says by what rule."""

    agency: str
    lane_offset: int
    portal: str | None
    sequence: int | None
    event_type: str | None
    event_id: str | None
    key: str | None
    received_at: datetime
    rule: str
    path: str
    params: Mapping[str, str]
    until: datetime | None

    @property
    def finding(self) -> Finding | None:
        """The rule with its texts; None for a rule that this version of the catalogue does not have."""
        return Finding(self.rule, self.path, self.params) if self.rule in catalogue() else None


@dataclass(frozen=True, slots=True)
class Drift:
    """Differences of one kind in one place that are open, or were healed in the last 30 days, and from where."""

    kind: str
    place: str
    open: int
    healed: int
    found_at: datetime
    healed_at: datetime | None
    healed_from: str | None
    asked: bool


@dataclass(frozen=True, slots=True)
class InHand:
    """The cases that an agency has: all, those whose term is over, and the day of the next term (of Viet Nam)."""

    cases: int
    late: int
    next_due: date | None


def waiting_events(connection: Connection[Any], agency: str, limit: int = 20) -> list[OwnEvent]:
    """What of an agency waits for its cause, the oldest first."""
    return _events(connection, WAITING, agency, limit)


def refused_events(connection: Connection[Any], agency: str, limit: int = 20) -> list[OwnEvent]:
    """What of an agency was refused, the newest first."""
    return _events(connection, REFUSED, agency, limit)


def drift(connection: Connection[Any], agency: str, limit: int = 20) -> list[Drift]:
    """Where the centre differs or differed from what the agency published, open differences first."""
    with connection.cursor(row_factory=class_row(Drift)) as cursor:
        return cursor.execute(DRIFT, {"agency": agency, "limit": limit}).fetchall()


def cases_in_hand(connection: Connection[Any], agency: str, now: datetime) -> InHand:
    """How many cases an agency has to answer, how many of them too late by law, and when the next answer is due."""
    with connection.cursor(row_factory=class_row(InHand)) as cursor:
        found = cursor.execute(IN_HAND, {"agency": agency, "now": now}).fetchone()
    return found or InHand(0, 0, None)


def last_compared(connection: Connection[Any]) -> tuple[datetime | None, datetime | None]:
    """When the last days were compared last, and when everything was."""
    row = connection.execute(COMPARED).fetchone()
    return (row[0], row[1]) if row else (None, None)


def _events(connection: Connection[Any], query: str, agency: str, limit: int) -> list[OwnEvent]:
    with connection.cursor(row_factory=class_row(OwnEvent)) as cursor:
        return cursor.execute(query, (agency, limit)).fetchall()
