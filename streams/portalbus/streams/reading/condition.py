"""How each source stands: in step or not and since when, and everything that keeps it from being so.

A source is in step when nothing of it is missing, unreadable or shown otherwise than it was published, and when it
speaks as often as it said it would. What only waits for its cause does not put a source out of step.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row

MENDED_WITHIN = "90 days"
"""How far back it is looked for when a source came into step."""


class TroubleKind(StrEnum):
    """What puts a source out of step, the worst first."""

    BLOCKED = "blocked"
    DIFFERS = "differs"
    MISSING = "missing"
    PARKED = "parked"
    SILENT = "silent"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that keeps a source out of step: how many events it concerns (0: none), and since when."""

    kind: TroubleKind
    count: int
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Condition:
    """How one source stands; `portal` is '' where a record does not say whose it is. Counts are of this moment."""

    agency: str
    portal: str
    status: str
    first_heard_at: datetime | None
    last_heard_at: datetime | None
    state: str
    state_since: datetime | None
    missing: int
    missing_since: datetime | None
    parked: int
    parked_since: datetime | None
    differing: int
    differing_since: datetime | None
    waiting: int
    waiting_since: datetime | None
    mended_at: datetime | None

    @property
    def troubles(self) -> tuple[Trouble, ...]:
        """What keeps it out of step, the worst first."""
        found = [
            Trouble(TroubleKind.DIFFERS, self.differing, self.differing_since),
            Trouble(TroubleKind.MISSING, self.missing, self.missing_since),
            Trouble(TroubleKind.PARKED, self.parked, self.parked_since),
        ]
        troubles = [trouble for trouble in found if trouble.count]
        if self.status == "blocked":
            troubles.insert(0, Trouble(TroubleKind.BLOCKED, 0, None))
        if self.state in ("silent", "late"):
            troubles.append(Trouble(TroubleKind(self.state), 0, self.state_since))
        return tuple(troubles)

    @property
    def in_step(self) -> bool:
        """True when nothing keeps it out of step."""
        return not self.troubles

    @property
    def since(self) -> datetime | None:
        """Since when it is in step, or is not; None when nobody knows."""
        if self.in_step:
            return max(filter(None, (self.mended_at, self.state_since, self.first_heard_at)), default=None)
        return min((trouble.since for trouble in self.troubles if trouble.since), default=None)


# Events whose source is not known stand under the portal ''.
CONDITIONS = f"""
with of as (select %(agency)s::text as agency),
gaps as (
    select agency, portal, sum(missing) as n, min(opened_at) as since from ledger.gap where state <> 'closed'
    group by agency, portal
), parks as (
    select agency, coalesce(portal, '') as portal, count(*) as n, min(parked_at) as since
    from ledger.parked where state = 'parked' group by 1, 2
), differs as (
    select agency, coalesce(portal, '') as portal, count(*) as n, min(found_at) as since
    from ledger.repair where healed_at is null group by 1, 2
), waits as (
    select w.agency, coalesce(e.portal, '') as portal, count(*) as n, min(w.received_at) as since
    from ledger.waiting w join ledger.event e using (agency, lane_offset) group by 1, 2
), worst as (
    select distinct on (agency, portal) agency, portal, state, state_since from ledger.cadence
    order by agency, portal, array_position(array['ok', 'quiet', 'late', 'silent'], state) desc, state_since
), mended as (
    select agency, portal, max(at) as at from (
        select agency, portal, healed_at as at from ledger.repair
            where healed_at is not null and found_at > now() - interval '{MENDED_WITHIN}'
        union all select agency, portal, closed_at from ledger.gap_closing
        union all select agency, portal, decided_at from ledger.parked where decided_at is not null
    ) ended group by agency, portal
), named as (
    select agency, portal from ledger.source union select agency, portal from parks
    union select agency, portal from differs
)
select n.agency, n.portal, coalesce(s.status, 'active') as status, s.first_heard_at, s.last_heard_at,
    case when s.agency is null then 'ok' else coalesce(worst.state, 'ok') end as state, worst.state_since,
    coalesce(gaps.n, 0)::bigint as missing, gaps.since as missing_since,
    coalesce(parks.n, 0) as parked, parks.since as parked_since,
    coalesce(differs.n, 0) as differing, differs.since as differing_since,
    coalesce(waits.n, 0) as waiting, waits.since as waiting_since, mended.at as mended_at
from named n
left join ledger.source s using (agency, portal) left join gaps using (agency, portal)
left join parks using (agency, portal) left join differs using (agency, portal)
left join waits using (agency, portal) left join worst using (agency, portal) left join mended using (agency, portal)
cross join of
where of.agency is null or n.agency = of.agency
order by n.agency, n.portal"""


def conditions(connection: Connection[Any], agency: str | None = None) -> list[Condition]:
    """How the sources of an agency, or all, stand."""
    with connection.cursor(row_factory=class_row(Condition)) as cursor:
        return cursor.execute(CONDITIONS, {"agency": agency}).fetchall()
