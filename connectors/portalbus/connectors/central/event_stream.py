"""Tells programs every accepted event in ledger order: one reader of the ledger, many listeners, none of them lossy."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import anyio
import psycopg
import structlog
from psycopg_pool import PoolTimeout

from portalbus.connectors.push.messages import Frame, cloudevent
from portalbus.connectors.push.wanted import Concerns, Wanted
from portalbus.connectors.web.listeners import Listener, TooManyListeners
from portalbus.schemas.topics import CANONICAL
from portalbus.streams.reading.accepted import AcceptedRow, accepted_between
from portalbus.streams.reading.news import ledger_positions
from portalbus.streams.reading.pool import Pool
from portalbus.streams.reading.tally import last_position

log = structlog.get_logger(__name__)

TYPES = tuple(CANONICAL)
QUEUE_LENGTH = 512
TOGETHER = 500
RETRY_AFTER_S = 1.0
SHORTEST_INTERVAL_S = 0.05


@dataclass(frozen=True, slots=True)
class Told:
    """One event, as text for every listener."""

    position: int
    event_type: str
    text: str


@dataclass(frozen=True, slots=True)
class StillHere:
    """Nothing was said for a while; everything up to `position` was told."""

    position: int


@dataclass(frozen=True, slots=True)
class BeginAnew:
    """What lies between the listener's place and `position` cannot be told any more; `reason` says why."""

    position: int
    reason: str


Item = Told | StillHere | BeginAnew


class EventStream:
    """Reads what was accepted once and hands it to whoever wants it. A listener that does not keep up is cut off, and
    comes back with the position it has heard."""

    def __init__(
        self,
        database_url: str,
        pool: Pool,
        *,
        look_every_s: float,
        most_listeners: int,
        most_of_one: int,
        history: int,
        heartbeat_s: float,
    ) -> None:
        self._database_url = database_url
        self._pool = pool
        self._look_every_s = look_every_s
        self._most = most_listeners
        self._most_of_one = most_of_one
        self._history = history
        self._heartbeat_s = heartbeat_s
        self._listeners: dict[Wanted, set[Listener[Told]]] = {}
        self._addresses = Counter[str]()
        self._known: int | None = None

    async def run(self) -> None:
        """Follows the ledger until cancelled."""
        async for position in ledger_positions(self._database_url, look_every_s=self._look_every_s):
            if self._known is not None and position < self._known:
                self._cut_all_off()  # a shorter ledger is another one
            elif self._known is not None and self._listeners:
                await self._tell(self._known, position)
            self._known = position
            await asyncio.sleep(SHORTEST_INTERVAL_S)

    def check_room(self, address: str) -> None:
        """Raises TooManyListeners when no further listener from this address is taken."""
        if self._addresses.total() >= self._most or self._addresses[address] >= self._most_of_one:
            raise TooManyListeners

    async def listen(self, wanted: Wanted, after: int | None, address: str, ending: anyio.Event) -> AsyncIterator[Item]:
        """What a listener wants of everything after a position (None: from now on), until `ending`.

        Raises TooManyListeners, and psycopg errors or PoolTimeout when the ledger cannot be read.
        """
        with self._listening(wanted, address, ending) as listener:
            joined = await self._joined()
            start = joined if after is None else after
            refusal = await self._cannot_begin(start, joined)
            if refusal is not None:
                yield refusal
                start = refusal.position
            async for told in self._catch_up(wanted, start, joined):
                yield told
            async for item in self._live(listener, max(start, joined)):
                yield item

    async def _live(self, listener: Listener[Told], after: int) -> AsyncIterator[Item]:
        while True:
            try:
                told = await listener.next(self._heartbeat_s)
            except TimeoutError:
                if listener.has_heard_all:
                    after = max(after, self._known or 0)
                    yield StillHere(after)
                continue
            if told is None:
                return
            if told.position > after:
                yield told

    async def _joined(self) -> int:
        """The position from which on the listener's queue holds everything."""
        if self._known is None:
            async with self._pool.connection() as connection:
                self._known = await last_position(connection)
        return self._known

    async def _cannot_begin(self, start: int, joined: int) -> BeginAnew | None:
        if joined - start > self._history:
            return BeginAnew(joined, "too-old")
        if start <= joined:
            return None
        async with self._pool.connection() as connection:
            last = await last_position(connection)
        return BeginAnew(joined, "unknown-position") if start > last else None

    async def _catch_up(self, wanted: Wanted, after: int, upto: int) -> AsyncIterator[Told]:
        while after < upto:
            async with self._pool.connection() as connection:
                rows = await accepted_between(connection, after, upto, TYPES, limit=TOGETHER)
            for row in rows:
                if wanted.lets_through(_concerns(row)):
                    yield told(row)
            after = rows[-1].position if len(rows) == TOGETHER else upto

    async def _tell(self, after: int, upto: int) -> None:
        while after < upto:
            try:
                async with self._pool.connection() as connection:
                    rows = await accepted_between(connection, after, upto, TYPES, limit=TOGETHER)
            except (psycopg.Error, PoolTimeout) as error:
                log.warning("stream.read-failed", error=type(error).__name__, position=after)
                await asyncio.sleep(RETRY_AFTER_S)
                continue
            for row in rows:
                self._hand_out(row)
            after = rows[-1].position if len(rows) == TOGETHER else upto
            self._known = after  # with no await since: who joins now has all that comes, and catches up with the rest

    def _hand_out(self, row: AcceptedRow) -> None:
        concerns, one = _concerns(row), None
        for wanted, listeners in self._listeners.items():
            if wanted.lets_through(concerns):
                one = one or told(row)
                for listener in listeners:
                    listener.tell(one)

    @contextmanager
    def _listening(self, wanted: Wanted, address: str, ending: anyio.Event) -> Iterator[Listener[Told]]:
        self.check_room(address)
        listener = Listener[Told](QUEUE_LENGTH)
        self._listeners.setdefault(wanted, set()).add(listener)
        self._addresses[address] += 1
        try:
            with listener.until(ending):
                yield listener
        finally:
            self._addresses -= Counter({address: 1})
            group = self._listeners[wanted]
            group.discard(listener)
            if not group:
                del self._listeners[wanted]

    def _cut_all_off(self) -> None:
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.cut_off()


def told(row: AcceptedRow) -> Told:
    """An event as a CloudEvent. A feedback has no subject: its number is for the bodies that handle it."""
    subject = row.key if row.event_type == "DirectivePublished" else ""
    time = row.occurred_at or row.received_at
    frame = Frame(row.event_id, f"/{row.agency}/{row.portal}", row.event_type, subject, time, row.position)
    return Told(row.position, row.event_type, cloudevent(frame, row.said))


def _concerns(row: AcceptedRow) -> Concerns:
    return Concerns(row.event_type, frozenset(row.concerned), row.language)
