"""Final verdicts counted per agency, canaries left out, kept up by reading only what was judged since the last look.

Counting a whole ledger for every visitor would not do, and an aggregate kept by the worker would cost every event.
Positions are commit order, so a reader that remembers a position and its counts misses nothing and counts nothing
twice. The first look reads the ledger once, in slices.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from portalbus.streams.reading.pool import Connection

SLICE = 50_000


@dataclass(frozen=True, slots=True)
class VerdictCounts:
    """Final verdicts of one agency."""

    accepted: int = 0
    rejected: int = 0
    duplicate: int = 0


NOTHING = VerdictCounts()


class VerdictTally:
    """The counts up to `position`; `refresh` brings them up to the end of the ledger."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._mark: tuple[object, ...] | None = None
        self._lock = asyncio.Lock()
        self.position = 0

    def of(self, agency: str) -> VerdictCounts:
        """The counts of one agency as far as they were read."""
        return VerdictCounts(*(self._counts[agency, status] for status in ("ACCEPTED", "REJECTED", "DUPLICATE")))

    def totals(self) -> Mapping[str, int]:
        """The counts of all agencies together, by status."""
        sums: Counter[str] = Counter()
        for (_, status), count in self._counts.items():
            sums[status] += count
        return sums

    async def refresh(self, connection: Connection) -> int:
        """Read what was judged since the last look; returns the position up to which the counts hold."""
        async with self._lock:
            end = await last_position(connection)
            if not await self._still_the_same_ledger(connection, end):
                self._counts.clear()
                self.position, self._mark = 0, None
            while self.position < end:
                await self._read_slice(connection, min(end, self.position + SLICE))
            return self.position

    async def _read_slice(self, connection: Connection, upto: int) -> None:
        cursor = await connection.execute(
            "select agency, status, count(*) from ledger.judgement"
            " where position > %s and position <= %s and final and rule <> 'event.canary' group by agency, status",
            (self.position, upto),
        )
        read = {(agency, status): count async for agency, status, count in cursor}
        mark = await ledger_mark(connection, upto)
        self._counts.update(read)
        self.position, self._mark = upto, mark

    async def _still_the_same_ledger(self, connection: Connection, end: int) -> bool:
        """False after a rebuild: the ledger is shorter than it was, or another one at the remembered position."""
        if self._mark is None:
            return self.position <= end
        return self.position <= end and await ledger_mark(connection, self.position) == self._mark


async def last_position(connection: Connection) -> int:
    """The position of the last committed judgement; 0 in an empty ledger."""
    cursor = await connection.execute("select next - 1 from ledger.position")
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def ledger_mark(connection: Connection, position: int) -> tuple[object, ...] | None:
    """What tells this ledger from another one that is as long: whose record was judged at a position, and when."""
    cursor = await connection.execute(
        "select agency, lane_offset, judged_at from ledger.judgement where position = %s", (position,)
    )
    return await cursor.fetchone()
