"""A TCP way to PostgreSQL on which a worker does not hear of every second commit: it is done, the answer is lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit

PIECE = 64 * 1024
COMMITTED = b"COMMIT\0"
"""What the server says when it has committed."""
WORKER = b"portalbus-worker\0"
"""What a worker calls itself when it connects."""


class UnheardCommits:
    """Listens on a port of its own; `url` leads through it to the database. `lost` counts the answers."""

    def __init__(self, database_url: str) -> None:
        self.url = ""
        self.lost = 0
        self._database_url = database_url
        self._loses_next = True
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> UnheardCommits:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        self._pumps: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        parts = urlsplit(self._database_url)
        who = parts.netloc.rpartition("@")[0]
        self.url = urlunsplit(parts._replace(netloc=f"{who}@127.0.0.1:{server.sockets[0].getsockname()[1]}"))
        self._ready.set()
        await self._ending.wait()
        server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parts = urlsplit(self._database_url)
        there, back = await asyncio.open_connection(parts.hostname, parts.port)
        way = _Way((writer, back), self._is_lost)
        for pumping in (way.asks(reader, back), way.answers(there, writer)):
            pump = asyncio.create_task(pumping)
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

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
        self._end()

    async def answers(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """What the server says, until one answer is lost, and the connection with it."""
        with suppress(OSError):
            while piece := await source.read(PIECE):
                if self._workers and COMMITTED in piece and self._is_lost():
                    break
                sink.write(piece)
                await sink.drain()
        self._end()

    def _end(self) -> None:
        for end in self._ends:
            end.transport.abort()
