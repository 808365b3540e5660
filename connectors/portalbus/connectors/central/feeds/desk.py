"""Keeps what changed lately at hand, so that a feed costs one small query however many read it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence

from portalbus.connectors.central.feeds.keeping import KeptFeeds
from portalbus.streams.reading.accepted import (
    AcceptedRow,
    DirectiveTexts,
    accepted_at,
    directive_texts,
    newest_accepted,
)
from portalbus.streams.reading.directives import DirectiveFilter, DirectiveRow, changed_between, directives
from portalbus.streams.reading.pool import Connection, Pool
from portalbus.streams.reading.tally import last_position, ledger_mark

LOOK_BACK = 100_000
"""Positions that are read when the process starts: changes and feedback from before are not in its feeds."""
KEPT = 2_000
FEEDBACK = ("FeedbackReceived", "FeedbackResolved")


class FeedDesk:
    """The newest changes of directives, withdrawals included, and the newest feedback."""

    def __init__(self, pool: Pool) -> None:
        self.kept = KeptFeeds()
        self._pool = pool
        self._changed: OrderedDict[str, DirectiveRow] = OrderedDict()
        self._feedback: deque[AcceptedRow] = deque(maxlen=KEPT)
        self._withheld: deque[int] = deque(maxlen=KEPT)
        self._position = 0
        self._mark: object = None
        self._lock = asyncio.Lock()

    async def directives(
        self, agency: str | None, language: str | None, limit: int
    ) -> tuple[tuple[DirectiveRow, ...], dict[str, DirectiveTexts]]:
        """The directives that were published or changed last, newest change first, and their texts.

        Raises psycopg errors and PoolTimeout when the ledger cannot be read.
        """
        async with self._pool.connection() as connection:
            await self._refresh(connection)
            # With an agency there is an index that holds the withdrawn ones too.
            wanted = DirectiveFilter(agency=agency, language=language, withdrawn=agency is not None)
            newest = (await directives(connection, wanted, limit=limit)).rows
            rows = {row.key: row for row in self._changed.values() if _matches(row, agency, language)}
            rows |= {row.key: row for row in newest}  # read later
            shown = sorted(rows.values(), key=lambda row: row.position, reverse=True)[:limit]
            return tuple(shown), await directive_texts(connection, shown) if shown else {}

    async def feedback(self, event_type: str, agency: str | None, limit: int) -> tuple[AcceptedRow, ...]:
        """The newest accepted events of a feedback type, newest first."""
        async with self._pool.connection() as connection:
            await self._refresh(connection)
        found = (row for row in self._feedback if row.event_type == event_type)
        return tuple(row for row in found if agency is None or agency in row.concerned)[:limit]

    async def _refresh(self, connection: Connection) -> None:
        async with self._lock:
            last = await last_position(connection)
            if last < self._position or await ledger_mark(connection, self._position) != self._mark:  # another ledger
                self._changed.clear()
                self._feedback.clear()
                self._withheld.clear()
                self._position, self._mark = 0, None
            start = max(self._position, last - LOOK_BACK)
            if last > start:
                mark = await ledger_mark(connection, last)
                await self._read(connection, start, last)
                self._position, self._mark = last, mark
            if self._withheld:
                self._put(await accepted_at(connection, self._withheld))

    async def _read(self, connection: Connection, after: int, upto: int) -> None:
        for row in await changed_between(connection, after, upto, limit=KEPT):
            self._changed.pop(row.key, None)
            self._changed[row.key] = row
        while len(self._changed) > KEPT:
            self._changed.popitem(last=False)
        self._put(await newest_accepted(connection, after, upto, FEEDBACK, limit=KEPT))

    def _put(self, newest: Sequence[AcceptedRow]) -> None:
        """Puts rows, newest first, before the others; an answer that is not shown yet is looked at again later."""
        for row in reversed(newest):
            if row.withheld and row.position not in self._withheld:
                self._withheld.append(row.position)
            elif not row.withheld:
                self._feedback.appendleft(row)
                if row.position in self._withheld:
                    self._withheld.remove(row.position)


def _matches(row: DirectiveRow, agency: str | None, language: str | None) -> bool:
    return agency in (None, row.agency) and language in (None, row.language)
