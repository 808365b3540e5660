"""What the overview shows for each agency, read at most once a second however many people look."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic

from portalbus.connectors.central.agency_names import AgencyName
from portalbus.streams.reading.pool import Pool
from portalbus.streams.reading.standing import AgencyStanding, standings
from portalbus.streams.reading.tally import VerdictCounts, VerdictTally

FRESH_FOR_S = 1.0
LONGEST_WAIT_S = 1.0
HEARD_RECENTLY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class AgencyFigures:
    """One line of the overview."""

    name: AgencyName
    last_heard_at: datetime | None
    sources: int
    waiting: int
    parked: int
    verdicts: VerdictCounts
    state: str | None = None
    state_since: datetime | None = None

    def heard_since(self, instant: datetime) -> bool:
        """True when the agency was heard at or after that instant."""
        return self.last_heard_at is not None and self.last_heard_at >= instant


@dataclass(frozen=True, slots=True)
class Overview:
    """The figures of all agencies; not `complete` while a large ledger is being counted for the first time."""

    agencies: tuple[AgencyFigures, ...]
    complete: bool

    def heard_recently(self, now: datetime) -> int:
        """How many agencies were heard in the last 24 hours."""
        return sum(agency.heard_since(now - HEARD_RECENTLY) for agency in self.agencies)

    def total(self, name: str) -> int:
        """The sum of `waiting`, `parked`, `accepted`, `rejected` or `duplicate` over all agencies."""
        return sum(
            getattr(agency if name in ("waiting", "parked") else agency.verdicts, name) for agency in self.agencies
        )


class FiguresDesk:
    """Keeps the figures at hand."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._tally = VerdictTally()
        self._standings: dict[str, AgencyStanding] = {}
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def overview(self, names: tuple[AgencyName, ...]) -> Overview:
        """The figures of these agencies, at most a second old. Raises psycopg errors when the ledger cannot be read."""
        complete = await self._refresh()
        return Overview(tuple(self._figures(name) for name in names), complete)

    async def agency(self, name: AgencyName) -> AgencyFigures:
        """The figures of one agency."""
        await self._refresh()
        return self._figures(name)

    async def close(self) -> None:
        """Ends a reading that is under way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _refresh(self) -> bool:
        if monotonic() - self._read_at < FRESH_FOR_S:
            return True
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        # The first count of a large ledger may take longer than a visitor should wait.
        done, _ = await asyncio.wait({self._reading}, timeout=LONGEST_WAIT_S)
        if done:
            self._reading.result()
        return bool(done)

    async def _read(self) -> None:
        async with self._pool.connection() as connection:
            self._standings = await standings(connection)
            await self._tally.refresh(connection)
        self._read_at = monotonic()

    def _figures(self, name: AgencyName) -> AgencyFigures:
        standing = self._standings.get(name.code) or AgencyStanding(name.code, None, 0, 0, 0)
        return AgencyFigures(
            name,
            standing.last_heard_at,
            standing.sources,
            standing.waiting,
            standing.parked,
            self._tally.of(name.code),
            standing.state,
            standing.state_since,
        )
