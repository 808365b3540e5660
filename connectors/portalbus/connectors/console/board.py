"""The national overview: one tile an agency, read at most once a second however many look, told when it changes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any

import anyio
import psycopg
import structlog
from psycopg import Connection
from psycopg_pool import PoolTimeout

from portalbus.connectors.console.threads import OfficeThreads
from portalbus.connectors.web.listeners import Listener, Listeners
from portalbus.schemas.directory import first_level
from portalbus.streams.ledger.alert_list import count_alerts
from portalbus.streams.reading.condition import Condition, TroubleKind, conditions
from portalbus.streams.reading.news import ledger_positions

log = structlog.get_logger(__name__)

FRESH_FOR_S = 1.0
LOOK_EVERY_S = 5.0
ALL_ANEW_S = 60.0
"""How often every tile is told again: they say how long ago something was."""
QUEUE_LENGTH = 8
MOST_LISTENERS = 200
TOLD_AS_TROUBLE = ("source.silent", "event-type.silent", "gap.open", "store.differs")
"""Alerts that say what the troubles of a source say."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One agency: its sources taken together. `troubles` counts events by kind (sources, where a kind counts none)."""

    agency: str
    sources: int
    last_heard_at: datetime | None
    since: datetime | None
    waiting: int
    troubles: tuple[tuple[TroubleKind, int], ...]
    alerts: int = 0
    """Open alerts about what is no trouble of its sources: overdue cases, surges …"""

    @property
    def state(self) -> str:
        """never, in (step), or out."""
        if self.troubles:
            return "out"
        return "in" if self.sources else "never"

    @property
    def grave(self) -> bool:
        """True when more than lateness is the matter."""
        return any(kind is not TroubleKind.LATE for kind, _ in self.troubles)


def tiles_of(rows: Iterable[Condition], alerts: Mapping[str, int] | None = None) -> dict[str, Tile]:
    """The tiles of all agencies that were ever heard or have `alerts`, by code."""
    by_agency: dict[str, list[Condition]] = {}
    for row in rows:
        by_agency.setdefault(first_level(row.agency), []).append(row)
    counts: Counter[str] = Counter()
    for agency, count in (alerts or {}).items():
        counts[first_level(agency)] += count
        by_agency.setdefault(first_level(agency), [])
    return {agency: _tile(agency, of, counts[agency]) for agency, of in by_agency.items()}


def _read(connection: Connection[Any]) -> dict[str, Tile]:
    return tiles_of(conditions(connection), count_alerts(connection, TOLD_AS_TROUBLE))


def _tile(agency: str, rows: list[Condition], alerts: int) -> Tile:
    counts: Counter[TroubleKind] = Counter()
    for row in rows:
        counts.update({trouble.kind: max(trouble.count, 1) for trouble in row.troubles})
    out = [row.since for row in rows if not row.in_step and row.since]
    within = [row.since for row in rows if row.in_step and row.since]
    return Tile(
        agency,
        sum(row.first_heard_at is not None for row in rows),
        max((row.last_heard_at for row in rows if row.last_heard_at), default=None),
        min(out, default=None) if counts else max(within, default=None),
        sum(row.waiting for row in rows),
        tuple((kind, counts[kind]) for kind in TroubleKind if counts[kind]),
        alerts,
    )


class Board:
    """Keeps the tiles at hand, and tells who listens which ones changed."""

    def __init__(self, database_url: str, threads: OfficeThreads) -> None:
        self._database_url = database_url
        self._threads = threads
        self._tiles: dict[str, Tile] = {}
        self._read_at = float("-inf")
        self._lock = asyncio.Lock()
        self._moved = asyncio.Event()
        self._listeners = Listeners[Mapping[str, Tile]](MOST_LISTENERS, QUEUE_LENGTH)

    async def tiles(self, *, anew: bool = False) -> Mapping[str, Tile]:
        """The tiles of agencies that were ever heard or have alerts, at most a second old; or `anew`, of this moment.

        Raises psycopg errors and PoolTimeout.
        """
        async with self._lock:
            if anew or monotonic() - self._read_at > FRESH_FOR_S:
                self._tiles = await self._threads.run(_read)
                self._read_at = monotonic()
        return self._tiles

    async def run(self) -> None:
        """Follows the ledger until cancelled; reads nothing while nobody listens."""
        following = asyncio.create_task(self._follow())
        told: Mapping[str, Tile] = {}
        anew_at = 0.0
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await self._moved.wait()
                self._moved.clear()
                if self._listeners:
                    told, anew_at = await self._tell(told, anew_at)
                await asyncio.sleep(FRESH_FOR_S)
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following

    async def follow(self, ending: anyio.Event, at_least_every_s: float) -> AsyncGenerator[Mapping[str, Tile]]:
        """The tiles that changed, until `ending` or until this listener does not keep up; none when that time is over.

        Raises TooManyListeners.
        """
        with self._listeners.listening(ending) as listener:
            while (changed := await _next_of(listener, at_least_every_s)) is not None:
                yield changed

    async def _follow(self) -> None:
        async for _ in ledger_positions(self._database_url):
            self._moved.set()

    async def _tell(self, told: Mapping[str, Tile], anew_at: float) -> tuple[Mapping[str, Tile], float]:
        try:
            tiles = await self.tiles(anew=True)  # the ledger moved: what was read before it did says nothing
        except (psycopg.Error, PoolTimeout) as error:
            log.warning("board.read-failed", error=type(error).__name__)
            return told, anew_at
        anew = monotonic() >= anew_at
        changed = {code: tile for code, tile in tiles.items() if anew or told.get(code) != tile}
        if changed:
            self._listeners.tell(changed)  # one that is cut off comes back with a page that is up to date
        return tiles, monotonic() + ALL_ANEW_S if anew else anew_at


async def _next_of(listener: Listener[Mapping[str, Tile]], within_s: float) -> Mapping[str, Tile] | None:
    try:
        return await listener.next(within_s)
    except TimeoutError:
        return {}
