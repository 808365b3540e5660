"""Verdicts for those who wait for them: by long poll, or as a stream."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from portalbus.connectors.gateway.keys import ApiKey
from portalbus.connectors.gateway.problems import Refusal
from portalbus.connectors.gateway.settings import Settings
from portalbus.connectors.gateway.source import Source
from portalbus.connectors.gateway.sources import Sources
from portalbus.schemas.errors import PortalbusError

LOOK_S = 0.2
BATCH = 200

Found = list[tuple[int, str]]
"""Verdicts as JSON, each with the cursor behind it."""


class VerdictDesk:
    """Hands out verdicts. One look at the outbox a source and moment, however many wait for it."""

    def __init__(self, settings: Settings, sources: Sources) -> None:
        self._settings = settings
        self._sources = sources
        self._boards: dict[Source, _Board] = {}
        self._of_key: Counter[str] = Counter()

    @property
    def readers(self) -> int:
        """How many wait now."""
        return self._of_key.total()

    def check_room(self, key: ApiKey) -> None:
        """Raises Refusal when too many wait already."""
        if self.readers >= self._settings.readers or self._of_key[key.id] >= self._settings.readers_of_key:
            raise Refusal("gateway.readers", headers={"Retry-After": "60"})

    async def ask(self, key: ApiKey, portal: str, after: int, limit: int, wait_s: float, event_id: str | None) -> Found:
        """The verdicts behind a cursor; waits for the first one, at most `wait_s` seconds."""
        source = await self._sources.get(key.agency, portal, bound=key.portal is not None)
        with self._reading(key, source) as board:
            deadline = asyncio.get_running_loop().time() + wait_s
            while True:
                news = board.news
                if found := await self._read(source, after, limit, event_id):
                    return found
                left = deadline - asyncio.get_running_loop().time()
                if left <= 0 or not await _came(news, left):
                    return []

    async def follow(self, key: ApiKey, source: Source, after: int | None) -> AsyncIterator[Found]:
        """Verdicts behind a cursor (from now on, for None) as they come; an empty list when there were none for long.

        The first item says where the stream begins, when there is nothing yet.
        """
        with self._reading(key, source) as board:
            loop = asyncio.get_running_loop()
            if after is None:
                after = await loop.run_in_executor(self._sources.disk, source.last_verdict)
            while True:
                news = board.news
                found = await self._read(source, after, BATCH, None)
                if found:
                    after = found[-1][0]
                    yield found
                elif not await _came(news, self._settings.reader_heartbeat_s):
                    yield []

    async def source(self, key: ApiKey, portal: str) -> Source:
        """The source of a portal, open. Raises Refusal, PortalbusError."""
        return await self._sources.get(key.agency, portal, bound=key.portal is not None)

    async def _read(self, source: Source, after: int, limit: int, event_id: str | None) -> Found:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._sources.disk, source.verdicts_after, after, limit, event_id)

    @contextmanager
    def _reading(self, key: ApiKey, source: Source) -> Iterator[_Board]:
        board = self._boards.get(source)
        if board is None:
            board = self._boards[source] = _Board(source, self._sources)
        source.readers += 1
        self._of_key[key.id] += 1
        try:
            yield board
        finally:
            self._of_key[key.id] -= 1
            source.readers -= 1
            if not source.readers:
                board.close()
                self._boards.pop(source, None)


class _Board:
    """Where those who wait for the verdicts of one source look; exists while there are any."""

    def __init__(self, source: Source, sources: Sources) -> None:
        self.news = asyncio.Event()
        self._source = source
        self._sources = sources
        self._task = asyncio.create_task(self._look())

    def close(self) -> None:
        """Nobody waits any more."""
        self._task.cancel()

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        seen: int | None = -2
        while True:
            try:
                newest = await loop.run_in_executor(self._sources.disk, self._source.last_verdict)
            except PortalbusError:
                newest = None  # those who wait look themselves, and are told what is wrong
            if newest != seen or newest is None:
                seen = newest
                news, self.news = self.news, asyncio.Event()
                news.set()
            await asyncio.sleep(LOOK_S)


async def _came(news: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await news.wait()
    except TimeoutError:
        return False
    return True
