"""A TCP way to PostgreSQL on which a worker does not hear of every second commit: it is done, the answer is lost."""

from __future__ import annotations

import asyncio
import threading
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
        hello = await reader.read(PIECE)
        back.write(hello)
        for source, sink, hears in ((reader, back, True), (there, writer, WORKER not in hello)):
            pump = asyncio.create_task(self._pump(source, sink, hears, (writer, back)))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        hears: bool,
        ends: tuple[asyncio.StreamWriter, ...],
    ) -> None:
        with suppress(OSError):
            while piece := await source.read(PIECE):
                if not hears and COMMITTED in piece and self._is_lost():
                    break
                sink.write(piece)
                await sink.drain()
        for end in ends:
            end.transport.abort()

    def _is_lost(self) -> bool:
        loses, self._loses_next = self._loses_next, not self._loses_next
        self.lost += loses
        return loses
