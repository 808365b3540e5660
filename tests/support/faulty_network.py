"""A TCP way to a server that can be made bad: slow, silent, cut off at random, or dead without a word."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from enum import Enum
from random import Random

from refused_write import read_frame, refuse_first_write
from tcp_way import LOOPBACK, PIECE, End, Pump, TcpWay, hang_up


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


class FaultyNetwork(TcpWay):
    """Passes on to a port of this machine; `weather` may be changed at any moment."""

    def __init__(self, target_port: int, seed: int, topic: str = "") -> None:
        super().__init__((LOOPBACK, target_port))
        self.weather = Weather.CLEAR
        self.topic = topic
        """Where the requests write that are refused while the broker is starting."""
        self.refused = threading.Event()
        self._random = Random(seed)

    def to(self, target_port: int) -> None:
        """Where new connections lead from now on."""
        self.target = (LOOPBACK, target_port)

    def pumps(self, here: End, there: End) -> tuple[Pump, Pump]:
        """As the weather is when a client connects."""
        (asks, back), (answers, sink) = here, there
        way = _Way(self, self._random, (back, sink))
        if self.weather is Weather.STARTING:
            return way.refusing(asks, back, sink), way.whole_frames(answers, back)
        return way.pump(asks, sink), way.pump(answers, back)


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
        hang_up(*self._ends)

    async def whole_frames(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Passes on answer by answer, so that one of our own may stand between two."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                sink.write(await read_frame(source))
                await sink.drain()
        hang_up(*self._ends)

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
        hang_up(*self._ends)
