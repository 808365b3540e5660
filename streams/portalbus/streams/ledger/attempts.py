"""The crash-loop breaker: a record that kills the worker natively is found and parked without being decoded.

Before a batch is decoded, its lanes' first and last offsets are marked. A worker that begins inside a marked range
knows that the one before it died there. It tries the batch whole once more (a kill from outside seldom hits the same
batch twice); after that the records are taken one by one, and the one that was in hand at the third death is parked.

The marks survive the process, not the database server: they are written without waiting for its disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

BATCH_ATTEMPTS = 2
DEADLY = 3


@dataclass(frozen=True, slots=True)
class Mark:
    """The last attempt on a lane: which offsets were in hand, and the how-manieth attempt it was."""

    first: int
    last: int
    attempts: int

    def careful(self, offset: int) -> bool:
        """True when the records from `offset` on are to be taken one by one."""
        return self.attempts >= BATCH_ATTEMPTS and self.first <= offset <= self.last

    def deadly(self, offset: int) -> bool:
        """True when the record at `offset` is to be parked undecoded."""
        return self.attempts >= DEADLY and self.first == offset

    def next(self, first: int, last: int) -> Mark:
        """The mark for the attempt that comes now on the offsets `first` to `last`."""
        if self.careful(first):
            return Mark(first, self.last, DEADLY)
        if self.first <= first <= self.last:
            return Mark(first, max(last, self.last), self.attempts + 1)
        return Mark(first, last, 1)


NO_MARK = Mark(-1, -1, 0)


def read_marks(connection: Connection[Any]) -> dict[str, Mark]:
    """The marks of all lanes, by agency."""
    rows = connection.execute("select agency, lane_offset, last_offset, attempts from ledger.attempt")
    return {agency: Mark(first, last, attempts) for agency, first, last, attempts in rows}


def write_marks(connection: Connection[Any], marks: Mapping[str, Mark]) -> None:
    """Marks what is about to be tried. The connection is in autocommit mode with synchronous_commit off."""
    rows = [(agency, mark.first, mark.last, mark.attempts) for agency, mark in sorted(marks.items())]
    connection.execute(
        "insert into ledger.attempt (agency, lane_offset, last_offset, attempts)"
        " select * from unnest(%s::text[], %s::int8[], %s::int8[], %s::int4[])"
        " on conflict (agency) do update set lane_offset = excluded.lane_offset,"
        " last_offset = excluded.last_offset, attempts = excluded.attempts",
        [list(column) for column in zip(*rows, strict=True)],
    )
