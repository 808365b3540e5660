"""Tells every open page what changed in the ledger: one reader of the ledger, many listeners."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import anyio
import psycopg
import structlog
from psycopg_pool import PoolTimeout

from portalbus.connectors.web.listeners import Listeners
from portalbus.streams.reading.directives import DirectiveRow, changed_between
from portalbus.streams.reading.news import ledger_positions
from portalbus.streams.reading.pool import Pool
from portalbus.streams.reading.tally import last_position

log = structlog.get_logger(__name__)

QUEUE_LENGTH = 32
CATCH_UP_POSITIONS = 20_000
RETRY_AFTER_S = 1.0
SHORTEST_INTERVAL_S = 0.1
"""Changes that come faster are told together."""


@dataclass(frozen=True, slots=True)
class News:
    """The directives that changed up to a position, oldest change first."""

    position: int
    changed: tuple[DirectiveRow, ...]
    told: dict[str, tuple[str, ...]] = field(default_factory=dict, compare=False)
    """The cards of what changed, by language: rendered once, however many pages are live."""

    def after(self, position: int) -> News:
        """What of it changed after a position."""
        rows = tuple(row for row in self.changed if row.position > position)
        return self if len(rows) == len(self.changed) else News(self.position, rows)


class Newsroom:
    """Reads what changed once and hands it to all listeners. A listener that does not keep up is cut off."""

    def __init__(self, database_url: str, pool: Pool, *, look_every_s: float, most_listeners: int) -> None:
        self._database_url = database_url
        self._pool = pool
        self._look_every_s = look_every_s
        self._listeners = Listeners[News](most_listeners, QUEUE_LENGTH)

    async def run(self) -> None:
        """Follows the ledger until cancelled."""
        known: int | None = None
        async for position in ledger_positions(self._database_url, look_every_s=self._look_every_s):
            if known is not None and position < known:
                self._listeners.cut_all_off()  # a shorter ledger is a rebuilt one, with new positions
            elif known is not None and self._listeners:
                while not await self._tell(known, position):
                    await asyncio.sleep(RETRY_AFTER_S)
            known = position
            await asyncio.sleep(SHORTEST_INTERVAL_S)

    async def _tell(self, after: int, upto: int) -> bool:
        """True when the listeners were told what changed; False when the ledger could not be read."""
        try:
            async with self._pool.connection() as connection:
                changed = await changed_between(connection, after, upto)
        except (psycopg.Error, PoolTimeout) as error:
            log.warning("newsroom.read-failed", error=type(error).__name__, position=after)
            return False
        if changed:
            self._listeners.tell(News(upto, changed))
        return True

    async def follow(self, after: int, ending: anyio.Event) -> AsyncIterator[News]:
        """What changed since a position, and from then on whatever changes, until `ending`. Raises TooManyListeners."""
        with self._listeners.listening(ending) as listener:
            caught_up = await self._catch_up(after)
            yield caught_up
            while (news := await listener.next()) is not None:
                fresh = news.after(caught_up.position)
                if fresh.changed:
                    yield fresh

    async def _catch_up(self, after: int) -> News:
        async with self._pool.connection() as connection:
            position = await last_position(connection)
            start = max(after, position - CATCH_UP_POSITIONS)
            if start >= position:
                return News(position, ())
            return News(position, await changed_between(connection, start, position))

    @property
    def has_room(self) -> bool:
        """True while a further page can be kept live."""
        return self._listeners.has_room
