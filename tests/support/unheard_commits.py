"""A TCP way to PostgreSQL on which a worker does not hear of every second commit: it is done, the answer is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

from tcp_way import LOOPBACK, PIECE, End, Pump, TcpWay, hang_up

COMMITTED = b"COMMIT\0"
"""What the server says when it has committed."""
WORKER = b"portalbus-worker\0"
"""What a worker calls itself when it connects."""


class UnheardCommits(TcpWay):
    """`url` leads through it to the database. `lost` counts the answers."""

    def __init__(self, database_url: str) -> None:
        parts = urlsplit(database_url)
        super().__init__((parts.hostname or LOOPBACK, parts.port or 5432))
        self._database_url = database_url
        self.lost = 0
        self._loses_next = True

    @property
    def url(self) -> str:
        """The database's address by this way."""
        return self.through(self._database_url)

    def pumps(self, here: End, there: End) -> tuple[Pump, Pump]:
        """Answers get lost on it."""
        (asks, back), (answers, sink) = here, there
        way = _Way((back, sink), self._is_lost)
        return way.asks(asks, sink), way.answers(answers, back)

    def _is_lost(self) -> bool:
        loses, self._loses_next = self._loses_next, not self._loses_next
        self.lost += loses
        return loses


class _Way:
    """One connection, of a worker or of somebody else."""

    def __init__(self, ends: tuple[asyncio.StreamWriter, ...], is_lost: Callable[[], bool]) -> None:
        self._ends, self._is_lost = ends, is_lost
        self._workers = False

    async def asks(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """What the client says, its name among the first."""
        with suppress(OSError):
            while piece := await source.read(PIECE):
                self._workers = self._workers or WORKER in piece
                sink.write(piece)
                await sink.drain()
        hang_up(*self._ends)

    async def answers(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """What the server says, until one answer is lost, and the connection with it."""
        with suppress(OSError):
            while piece := await source.read(PIECE):
                if self._workers and COMMITTED in piece and self._is_lost():
                    break
                sink.write(piece)
                await sink.drain()
        hang_up(*self._ends)
