"""Accountability figures for readers: counted at most every few seconds however many people look."""

from __future__ import annotations

import asyncio
import csv
import io
from collections import OrderedDict
from collections.abc import Sequence
from time import monotonic
from typing import Any

from portalbus.streams.reading.accountability import Figures, Wanted, as_plain, figures
from portalbus.streams.reading.pool import Pool

FRESH_FOR_S = 10.0
REMEMBERED = 64
LONGEST_PERIOD_DAYS = 3_660


class AccountabilityDesk:
    """Keeps the figures that were asked for last. Raises psycopg errors when the ledger cannot be read."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: OrderedDict[Wanted, tuple[float, list[Figures]]] = OrderedDict()
        self._counting = asyncio.Lock()

    async def figures(self, wanted: Wanted) -> list[Figures]:
        """The figures of a period, at most ten seconds old. One count at a time: the others wait for it."""
        async with self._counting:
            known = self._known.get(wanted)
            if known is None or monotonic() - known[0] > FRESH_FOR_S:
                async with self._pool.connection() as connection:
                    known = (monotonic(), await figures(connection, wanted))
                self._known[wanted] = known
            self._known.move_to_end(wanted)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
            return known[1]


def as_csv(found: Sequence[Figures]) -> str:
    """The figures as CSV; refusals by reason in one column."""
    rows: list[dict[str, Any]] = [
        {**as_plain(one), "refusals": " ".join(f"{reason}={count}" for reason, count in one.refusals.items())}
        for one in found
    ]
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()
