"""A TCP way to a server: a port of its own, and a pump for each direction of each connection."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Self

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


def hang_up(*ends: asyncio.StreamWriter) -> None:
    """Ends connections at once, whatever is still on its way."""
    for end in ends:
        end.transport.abort()
