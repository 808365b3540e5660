"""A TCP way to a server: a port of its own, and a pump for each direction of each connection."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

PIECE = 64 * 1024
LOOPBACK = "127.0.0.1"
End = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Pump = Coroutine[Any, Any, None]


class TcpWay:
    """Listens on `port` in a thread of its own, and passes on to the address `target`, as `pumps` says."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.port = 0
        self.target = target
        """Where new connections lead from now on."""
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(10)

    def through(self, url: str) -> str:
        """The address of a service, by this way."""
        parts = urlsplit(url)
        who = "".join(parts.netloc.rpartition("@")[:2])
        return urlunsplit(parts._replace(netloc=f"{who}{LOOPBACK}:{self.port}"))

    def pumps(self, here: End, there: End) -> tuple[Pump, Pump]:
        """What passes on, there and back, between the client (`here`) and the server (`there`)."""
        raise NotImplementedError

    async def _serve(self) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        self._pumping: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._connected, LOOPBACK, 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._ending.wait()
        server.close()
        for pump in self._pumping:
            pump.cancel()
        await asyncio.gather(*self._pumping, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        for pump in map(asyncio.create_task, self.pumps((reader, writer), there)):
            self._pumping.add(pump)
            pump.add_done_callback(self._pumping.discard)


class OpenWay(TcpWay):
    """A way to the service at an address that passes everything on, until it ends and nobody gets through any more."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        super().__init__((str(parts.hostname), int(parts.port or 0)))

    def pumps(self, here: End, there: End) -> tuple[Pump, Pump]:
        """As it comes."""
        return _pass_on(here[0], there[1]), _pass_on(there[0], here[1])


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        with suppress(OSError):
            while piece := await source.read(PIECE):
                sink.write(piece)
                await sink.drain()
    finally:
        hang_up(sink)


def hang_up(*ends: asyncio.StreamWriter) -> None:
    """Ends connections at once, whatever is still on its way."""
    for end in ends:
        end.transport.abort()
