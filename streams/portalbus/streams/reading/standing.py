"""How agencies and their sources stand: last heard, silent, waiting, parked. Small tables only: cheap at any size."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import class_row

from portalbus.streams.judgement.clocks import ClockReading, read_clock
from portalbus.streams.reading.pool import Connection


@dataclass(frozen=True, slots=True)
class AgencyStanding:
    """What the small tables know of one agency; counts are of this moment.

    `state` is that of its most silent source (ok, quiet, late or silent), None while it has none.
    """

    agency: str
    last_heard_at: datetime | None
    sources: int
    waiting: int
    parked: int
    state: str | None = None
    state_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One source: a portal's event stream. `missing` counts the sequences that were passed over and have not come.

    `state` (ok, quiet, late or silent) is the worst of its own and those of its `event_types`. `round_trip_ms` is how
    long its last canary took from publish() to its verdict. `clock_leads` and `clock_offset_ms` tell how far its
    heartbeats and its newest event were ahead of lane time.
    """

    agency: str
    portal: str
    status: str
    epoch: int
    last_sequence: int
    first_heard_at: datetime
    last_heard_at: datetime
    missing: int
    state: str
    state_since: datetime
    event_types: list[dict[str, Any]]
    round_trip_ms: int | None
    clock_leads: list[int]
    clock_offset_ms: int

    @property
    def clock(self) -> str:
        """What is known of its clock: right, ahead, behind or unknown."""
        return self._clock.state.value

    @property
    def clock_ahead_ms(self) -> int | None:
        """By how many milliseconds its clock is ahead of the broker's; None when that is not known."""
        return self._clock.ahead_ms

    @property
    def _clock(self) -> ClockReading:
        return read_clock(self.clock_leads, self.clock_offset_ms)


SEVERITY = "array_position(array['ok', 'quiet', 'late', 'silent'], c.state)"
STANDING = f"""
    with heard as (
        select agency, max(last_heard_at) as last_heard_at, count(*) as sources from ledger.source group by agency
    ), worst as (
        select distinct on (c.agency) c.agency, c.state, c.state_since
        from ledger.cadence c join ledger.source s using (agency, portal) where s.status = 'active'
        order by c.agency, {SEVERITY} desc, c.state_since
    ), waits as (
        select agency, count(*) as waiting from ledger.waiting group by agency
    ), parks as (
        select agency, count(*) as parked from ledger.parked where state = 'parked' group by agency
    )
    select agency, last_heard_at, coalesce(sources, 0) as sources, coalesce(waiting, 0) as waiting,
        coalesce(parked, 0) as parked, case when heard.agency is not null then coalesce(state, 'ok') end as state,
        state_since
    from heard full join waits using (agency) full join parks using (agency) left join worst using (agency)
"""
SOURCES = f"""
    select source.agency, source.portal, source.status, epoch, last_sequence, first_heard_at, source.last_heard_at,
        coalesce((select sum(gap.missing) from ledger.gap
            where gap.agency = source.agency and gap.portal = source.portal and gap.state <> 'closed'), 0)::bigint
            as missing,
        coalesce(worst.state, 'ok') as state, coalesce(worst.state_since, source.first_heard_at) as state_since,
        coalesce((select jsonb_agg(jsonb_build_object('event_type', c.event_type, 'state', c.state,
                'state_since', c.state_since, 'last_heard_at', c.last_heard_at, 'expected_by', c.silent_by)
                order by c.event_type)
            from ledger.cadence c where c.agency = source.agency and c.portal = source.portal and c.event_type <> ''),
            '[]') as event_types,
        canary.round_trip_ms, source.clock_leads, source.clock_offset_ms
    from ledger.source
    left join ledger.canary on canary.agency = source.agency and canary.portal = source.portal
    left join lateral (
        select c.state, c.state_since from ledger.cadence c
        where c.agency = source.agency and c.portal = source.portal
        order by {SEVERITY} desc, c.state_since limit 1
    ) worst on true
    where source.agency = %s order by source.portal
"""


async def standings(connection: Connection) -> dict[str, AgencyStanding]:
    """The standing of every agency that was ever heard, by code."""
    async with connection.cursor(row_factory=class_row(AgencyStanding)) as cursor:
        await cursor.execute(STANDING)
        return {row.agency: row async for row in cursor}


async def sources(connection: Connection, agency: str) -> tuple[SourceRow, ...]:
    """The sources of an agency, by portal."""
    async with connection.cursor(row_factory=class_row(SourceRow)) as cursor:
        await cursor.execute(SOURCES, (agency,))
        return tuple(await cursor.fetchall())
