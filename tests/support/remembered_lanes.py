"""Lanes in memory, to be read again by a rebuild."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from portalbus.streams.judgement.docket import Item
from portalbus.streams.records import LaneRecord


class RememberedLanes:
    """Every record that was put on a lane, by lane."""

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self._records: dict[tuple[str, int], LaneRecord] = {}
        self.put(items)

    def put(self, items: Iterable[Item]) -> None:
        """Adds records."""
        self._records.update({(item.record.agency, item.record.offset): item.record for item in items})

    def take(self, agency: str, first: int, after: int) -> Sequence[LaneRecord]:
        """The records of a lane from `first` up to but not including `after`."""
        return [self._records[agency, offset] for offset in range(first, after)]
