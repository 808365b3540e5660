"""The crash-loop breaker: a record that kills the worker natively is found and parked without being decoded.

Before a batch is decoded, the offsets of each of its lanes are marked. A worker that begins inside a marked range knows
that the one before it died there, and goes carefully: it marks each record before it decodes it. The record that was in
hand at the deaths of two careful workers in a row, the third death in all, is parked.

A kill from outside costs the next worker some careful steps, and no record: it would have to come twice within the
microseconds in which one and the same record is decoded.

The marks survive the process, not the database server: they are written without waiting for its disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

WHOLE, SUSPECT, DEADLY = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Mark:
    """The last attempt on a lane: which offsets were in hand, and how many deaths it would be if it ended there.

    At the first attempt on a batch `first` and `last` are its range; at the careful ones `first` is the one record
    in hand.
    """

    first: int
    last: int
    attempts: int

    def careful(self, offset: int) -> bool:
        """True when a worker died before everything up to here was in the ledger."""
        return offset <= self.last

    def deadly(self, offset: int) -> bool:
        """True when the record at `offset` is to be parked undecoded."""
        return self.attempts >= DEADLY and self.first == offset

    def in_hand(self, offset: int) -> Mark:
        """The mark of a careful attempt on this one record."""
        again = self.attempts >= SUSPECT and self.first == offset
        return Mark(offset, self.last, DEADLY if again else SUSPECT)

    def passed(self, first: int, last: int) -> Mark:
        """The mark when careful attempts have got through these offsets; a suspect that is still to come stays one."""
        if self.deadly(self.first) or self.first > last:
            return self
        return Mark(first, max(last, self.last), WHOLE)


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
