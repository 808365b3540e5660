"""Items that were found, kept on disk until they are taken, and taken a batch at a time: memory stays bounded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from tempfile import SpooledTemporaryFile

from portalbus.connectors.pull.found import FoundItem, Listing, Reading, Remark

BATCH_ITEMS = 5_000
IN_MEMORY_BYTES = 4 * 1024 * 1024
MAX_REMARKS = 100
"""So many remarks on single rows say enough; the rest are counted."""


class Spool:
    """Items in the order they were found; they leave memory when there are many."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(  # noqa: SIM115 - close() closes it
            max_size=IN_MEMORY_BYTES, mode="w+", encoding="utf-8", newline="\n"
        )

    def add(self, item: FoundItem) -> None:
        """Keeps an item; its remarks are not kept."""
        occurred_at = item.occurred_at.isoformat() if item.occurred_at else None
        line = [item.id, item.event_type, item.url, item.mark, occurred_at, item.data]
        self._file.write(json.dumps(line, default=str) + "\n")

    def __iter__(self) -> Iterator[FoundItem]:
        self._file.seek(0)
        for line in self._file:
            item_id, event_type, url, mark, occurred_at, data = json.loads(line)
            when = datetime.fromisoformat(occurred_at) if occurred_at else None
            yield FoundItem(item_id, data, event_type, url, when, mark)

    def close(self) -> None:
        """Deletes them."""
        self._file.close()


@dataclass(slots=True)
class Remarks:
    """Remarks on single rows: the first hundred, then how many more there are."""

    kept: list[Remark] = field(default_factory=list)
    more: int = 0

    def add(self, remark: Remark) -> None:
        """Keeps or counts a remark."""
        if len(self.kept) < MAX_REMARKS:
            self.kept.append(remark)
        else:
            self.more += 1

    def take(self) -> tuple[Remark, ...]:
        """All of them, once."""
        rest = (Remark("", f"{self.more} more rows have remarks like these"),) if self.more else ()
        taken = (*self.kept, *rest)
        self.kept, self.more = [], 0
        return taken


def readings(items: Iterable[FoundItem], last: Reading, size: int = BATCH_ITEMS) -> Iterator[Reading]:
    """The items as readings that follow each other; the last one has the listing, cursor and remarks of `last`."""
    rest = iter(items)
    batch = tuple(islice(rest, size))
    while True:
        following = tuple(islice(rest, size))
        if not following:
            break
        yield Reading(batch, Listing.WINDOW, cursor=last.cursor, more=True)
        batch = following
    yield Reading(batch, last.listing, last.listed, last.cursor, last.remarks)
