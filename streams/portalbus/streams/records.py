"""The records of the lanes as the stream processor sees them: plain data, independent of the transport."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class LaneRecord(NamedTuple):
    """One record as it lies in a lane, undecoded.

    A named tuple rather than a frozen dataclass because one is made for every record that arrives, and a
    frozen dataclass costs three times as much to make. ``timestamp_ms`` is the broker's time (LogAppendTime),
    in milliseconds since 1970 UTC.
    """

    lane: str
    agency: str
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()

    def __repr__(self) -> str:
        """Show where the record lies and how large it is; what it says must never reach a log."""
        return f"<LaneRecord {self.lane}@{self.offset} {len(self.value or b'')} bytes>"


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one or more lanes, to be judged and committed together.

    The records of each lane are in offset order without a hole, and continue where the previous batch of the
    same ``epoch`` ended. ``epoch`` grows by one with every change of the worker's lanes.
    """

    records: Sequence[LaneRecord]
    epoch: int
    size: int = 0

    def __repr__(self) -> str:
        return f"<Batch {len(self.records)} records {self.size} bytes epoch {self.epoch}>"

    def next_offsets(self) -> dict[str, int]:
        """Return, per lane in the batch, the offset that follows its last record."""
        return {record.lane: record.offset + 1 for record in self.records}
