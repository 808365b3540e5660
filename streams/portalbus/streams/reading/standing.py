"""How agencies and their sources stand: last heard, waiting, parked. Small tables only, so it is cheap at any size."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from portalbus.streams.reading.pool import Connection


@dataclass(frozen=True, slots=True)
class AgencyStanding:
    """What the small tables know of one agency; counts are of this moment."""

    agency: str
    last_heard_at: datetime | None
    sources: int
    waiting: int
    parked: int


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One source: a portal's event stream. `missing` counts the sequences that were passed over and have not come."""

    agency: str
    portal: str
    status: str
    epoch: int
    last_sequence: int
    first_heard_at: datetime
    last_heard_at: datetime
    missing: int


STANDING = """
    with heard as (
        select agency, max(last_heard_at) as last_heard_at, count(*) as sources from ledger.source group by agency
    ), waits as (
        select agency, count(*) as waiting from ledger.waiting group by agency
    ), parks as (
        select agency, count(*) as parked from ledger.parked where state = 'parked' group by agency
    )
    select agency, last_heard_at, coalesce(sources, 0) as sources, coalesce(waiting, 0) as waiting,
        coalesce(parked, 0) as parked
    from heard full join waits using (agency) full join parks using (agency)
"""
SOURCES = """
    select agency, portal, status, epoch, last_sequence, first_heard_at, last_heard_at,
        coalesce((select sum(gap.last - gap.first + 1) from ledger.gap
            where gap.agency = source.agency and gap.portal = source.portal), 0)::bigint as missing
    from ledger.source where agency = %s order by portal
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
