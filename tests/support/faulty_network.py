"""A TCP way to a server that can be made bad: slow, silent, cut off at random, or dead without a word."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from enum import Enum
from random import Random

from refused_write import read_frame, refuse_first_write


class Weather(Enum):
    """How the way is."""

    CLEAR = "clear"
    SLOW = "every byte comes later"
    BLACKHOLE = "bytes are taken and come through only when the weather changes"
    HALF_OPEN = "a connection that is used now is dead for ever, and nobody is told"
    RESETS = "one piece in twenty resets its connection"
    STARTING = "of connections made now, the first request to write is refused, as by a broker that is just starting"


DELAY_S = 0.4
RESET_SHARE = 0.05
TICK_S = 1e-6
PIECE = 64 * 1024


class FaultyNetwork:
    """Listens on a port of its own (`port`) and passes on to another; `weather` may be changed at any moment."""

    def __init__(self, target_port: int, seed: int, topic: str = "") -> None:
        self.weather = Weather.CLEAR
        self.topic = topic
        """Where the requests write that are refused while the broker is starting."""
        self.refused = threading.Event()
        self.port = 0
        self._target = target_port
        self._random = Random(seed)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> FaultyNetwork:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(10)

    def to(self, target_port: int) -> None:
        """Where new connections lead from now on."""
        self._target = target_port

    async def _serve(self) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        self._pumps: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._ending.wait()
        server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        way = _Way(self, self._random, (writer, back))
        if self.weather is Weather.STARTING:
            pumps = way.refusing(reader, writer, back), way.whole_frames(there, writer)
        else:
            pumps = way.pump(reader, back), way.pump(there, writer)
        for pump in map(asyncio.create_task, pumps):
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)


class _Way:
    """One connection, in both directions."""

    def __init__(self, network: FaultyNetwork, random: Random, ends: tuple[asyncio.StreamWriter, ...]) -> None:
        self._network, self._random, self._ends = network, random, ends
        self._dead = False

    async def refusing(
        self, client: asyncio.StreamReader, back: asyncio.StreamWriter, sink: asyncio.StreamWriter
    ) -> None:
        """Passes requests on; the first one to write is refused."""
        with suppress(OSError, asyncio.IncompleteReadError):
            await refuse_first_write(client, back, sink, self._network.topic, self._network.refused.set)
        self._end()

    async def whole_frames(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Passes on answer by answer, so that one of our own may stand between two."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                sink.write(await read_frame(source))
                await sink.drain()
        self._end()

    async def pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Passes on what comes, as the weather lets it."""
        loop = asyncio.get_running_loop()
        due = 0.0
        with suppress(OSError):
            while piece := await source.read(PIECE):
                weather = self._network.weather
                self._dead = self._dead or weather is Weather.HALF_OPEN
                if weather is Weather.RESETS and self._random.random() < RESET_SHARE:
                    break
                while self._network.weather is Weather.BLACKHOLE:
                    await asyncio.sleep(0.05)
                if self._dead:
                    continue
                now = loop.time()
                # Later, not slower: what follows is on its way meanwhile, and overtakes nothing.
                due = max(now + DELAY_S if weather is Weather.SLOW else now, due + TICK_S)
                if due > now:
                    loop.call_at(due, sink.write, piece)
                else:
                    sink.write(piece)
                    await sink.drain()
        self._end()

    def _end(self) -> None:
        for end in self._ends:
            end.transport.abort()
