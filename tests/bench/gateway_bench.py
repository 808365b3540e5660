"""The gateway beside a bare endpoint: the same events over HTTP, from the same number of connections, in one run.

The gateway checks, numbers, stores and waits for the broker before it answers; the bare endpoint (Starlette and
confluent-kafka) hands the body over and answers at once. A third side answers when the broker has acknowledged.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

import bench_sdk
from portalbus.connectors.gateway.database import KEYS, open_database
from portalbus.connectors.gateway.keys import add_key
from portalbus.infra.stack import Lines, Stack
from portalbus.producers import new_event_id
from portalbus.schemas.registration import register_all
from portalbus.schemas.registry import SchemaRegistry
from portalbus.schemas.topics import lane_of, verdicts_of

AGENCY, PORTAL = "H26", "www"
READERS, READER_PORTALS, READER_RATE, READER_SECONDS = 1_000, 20, 200, 15.0
CONNECTIONS = 64
WARM_UP, EVENTS = 1_000, 6_000
PEERS = Path(__file__).parent / "peers"
MEDIA = "application/cloudevents+json"


@dataclass
class GatewayFigures:
    """All sides: answers a second, one a round; latencies of the gateway's answers in milliseconds."""

    gateway: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    bare_acknowledged: list[float] = field(default_factory=list)
    latency_ms: list[float] = field(default_factory=list)

    def ratio(self, peer: Sequence[float]) -> float:
        """The gateway beside a peer: the median of the rounds."""
        return statistics.median(ours / theirs for ours, theirs in zip(self.gateway, peer, strict=True))

    @property
    def sides(self) -> dict[str, float]:
        """Everything measured, for the report."""
        latencies = sorted(self.latency_ms)
        return {
            "gateway, answered 202 after the broker's acknowledgement, per second": statistics.median(self.gateway),
            "bare endpoint that only produces, per second": statistics.median(self.bare),
            "bare endpoint that waits for the acknowledgement, per second": statistics.median(self.bare_acknowledged),
            "gateway ÷ bare that only produces": self.ratio(self.bare),
            "gateway ÷ bare that waits": self.ratio(self.bare_acknowledged),
            f"gateway at {CONNECTIONS} connections, p50 in ms": latencies[len(latencies) // 2],
            f"gateway at {CONNECTIONS} connections, p99 in ms": latencies[int(len(latencies) * 0.99)],
        }


def compare(
    bootstrap: str, registry_url: str, folder: Path, *, events: int = EVENTS, rounds: int = 3
) -> GatewayFigures:
    """Runs all sides `rounds` times, one after the other; `folder` is empty and on a real disk."""
    register_all(SchemaRegistry(registry_url))
    _topics(bootstrap, lane_of(AGENCY), verdicts_of(AGENCY), "bench.http")
    found = GatewayFigures()
    bare = {"BOOTSTRAP": bootstrap, "TOPIC": "bench.http"}
    for number in range(rounds):
        for rates, environment in ((found.bare, bare), (found.bare_acknowledged, {**bare, "WAIT": "1"})):
            port = _free_port()
            with _running([str(PEERS / "bare_endpoint.py")], {**environment, "PORT": str(port)}, folder):
                rates.append(asyncio.run(_measure(port, "", events, [])))
        state = folder / f"gateway{number}"
        key, port = _key(state), _free_port()
        command = ["-m", "portalbus.connectors.gateway", "--port", str(port), "--state", str(state)]
        with _running(command, {"PORTALBUS_BOOTSTRAP": bootstrap, "PORTALBUS_REGISTRY": registry_url}, folder):
            found.gateway.append(asyncio.run(_measure(port, key, events, found.latency_ms)))
    return found


@dataclass
class ReaderFigures:
    """Events at a steady rate while many readers wait for verdicts."""

    readers: int
    still_connected: int
    late_ms: list[float]
    resident_mb: float

    @property
    def sides(self) -> dict[str, float]:
        """Everything measured, for the report."""
        late = sorted(self.late_ms)
        return {
            "readers connected at the end": self.still_connected,
            "events answered": len(late),
            "answer after it was due, p50 in ms": late[len(late) // 2],
            "answer after it was due, p99 in ms": late[int(len(late) * 0.99)],
            "resident, MB": self.resident_mb,
        }


def with_readers(bootstrap: str, registry_url: str, folder: Path, *, seconds: float = READER_SECONDS) -> ReaderFigures:
    """1,000 idle readers of verdicts and 200 events a second together."""
    register_all(SchemaRegistry(registry_url))
    _topics(bootstrap, lane_of(AGENCY), verdicts_of(AGENCY))
    state = folder / "gateway-readers"
    keys = [_key(state, f"reader{number}") for number in range(READER_PORTALS)]
    key, port = _key(state), _free_port()
    command = ["-m", "portalbus.connectors.gateway", "--port", str(port), "--state", str(state)]
    with _running(command, {"PORTALBUS_BOOTSTRAP": bootstrap, "PORTALBUS_REGISTRY": registry_url}, folder) as process:
        return asyncio.run(_read_and_post(port, keys, key, seconds, process.pid))


async def _read_and_post(port: int, keys: Sequence[str], key: str, seconds: float, pid: int) -> ReaderFigures:
    await _wait_for(port)
    await _post_all(port, _requests(port, key, WARM_UP), [])
    loop = asyncio.get_running_loop()
    readers = []
    for number in range(READERS):
        _, reader = await loop.create_connection(lambda: _Reader(port, keys[number % len(keys)]), "127.0.0.1", port)
        readers.append(reader)
        await reader.begun
    due: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    late_ms: list[float] = []
    posters = [asyncio.create_task(_post_when_due(port, due, late_ms)) for _ in range(CONNECTIONS)]
    began = loop.time()
    for number in range(int(seconds * READER_RATE)):
        at = began + number / READER_RATE
        await asyncio.sleep(max(at - loop.time(), 0))
        due.put_nowait((at, _request(port, key, number)))
    await due.join()
    resident = psutil.Process(pid).memory_info().rss / 1e6
    for poster in posters:
        poster.cancel()
    connected = sum(reader.connected for reader in readers)
    for reader in readers:
        reader.end()
    return ReaderFigures(READERS, connected, late_ms, resident)


async def _post_when_due(port: int, due: asyncio.Queue[tuple[float, bytes]], late_ms: list[float]) -> None:
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        at, request = await due.get()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        body = await reader.readexactly(size)
        if not head.startswith(b"HTTP/1.1 202"):
            raise RuntimeError((head + body)[:600].decode())
        late_ms.append((loop.time() - at) * 1_000)
        due.task_done()


class _Reader(asyncio.Protocol):
    """A program that follows the verdicts of a portal and hears nothing but heartbeats."""

    def __init__(self, port: int, key: str) -> None:
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.connected = True
        self._ask = f"GET /v1/verdicts/stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n\r\n"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._ask.encode())

    def data_received(self, data: bytes) -> None:
        """Hears the beginning, and heartbeats."""
        if not self.begun.done():
            if data.startswith(b"HTTP/1.1 200"):
                self.begun.set_result(None)
            else:
                self.begun.set_exception(RuntimeError(data[:600].decode()))

    def connection_lost(self, exc: Exception | None) -> None:
        """The gateway gave up."""
        self.connected = False

    def end(self) -> None:
        """Goes."""
        self._transport.close()


async def _measure(port: int, key: str, events: int, latency_ms: list[float]) -> float:
    """Answers a second."""
    await _wait_for(port)
    await _post_all(port, _requests(port, key, WARM_UP), [])
    requests = _requests(port, key, events)
    began = time.perf_counter()
    await _post_all(port, requests, latency_ms)
    return events / (time.perf_counter() - began)


def _requests(port: int, key: str, events: int) -> list[bytes]:
    """Whole requests, so that nothing but sending them is measured."""
    return [_request(port, key, number) for number in range(events)]


def _request(port: int, key: str, number: int) -> bytes:
    event = {
        "specversion": "1.0",
        "id": new_event_id(),
        "source": f"/{AGENCY}/{PORTAL}",
        "type": "portalbus.events.FeedbackReceived",
        "data": bench_sdk.feedback(number).model_dump(mode="json"),
    }
    body = json.dumps(event, ensure_ascii=False).encode()
    head = (
        f"POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: {MEDIA}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _post_all(port: int, requests: Sequence[bytes], latency_ms: list[float]) -> None:
    loop = asyncio.get_running_loop()
    left = iter(requests)
    clients = []
    for _ in range(CONNECTIONS):
        _, client = await loop.create_connection(lambda: _Client(left, latency_ms), "127.0.0.1", port)
        clients.append(client)
    await asyncio.gather(*(client.done for client in clients))


class _Client(asyncio.Protocol):
    """One connection that posts the next request when the last one was answered; anything but 202 is an error."""

    def __init__(self, left: Iterator[bytes], latency_ms: list[float]) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left = left
        self._latency_ms = latency_ms
        self._heard = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        """Goes on when an answer is whole."""
        self._heard += data
        head, found, body = self._heard.partition(b"\r\n\r\n")
        if not found:
            return
        lowered = head.lower()
        place = lowered.find(b"content-length:")
        size = int(lowered[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
        if len(body) < size:
            return
        if not head.startswith(b"HTTP/1.1 202"):
            self.done.set_exception(RuntimeError(self._heard[:600].decode()))
            self._transport.close()
            return
        self._heard = b""
        self._latency_ms.append((time.perf_counter() - self._sent_at) * 1_000)
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends."""
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server closed the connection"))

    def _next(self) -> None:
        request = next(self._left, None)
        if request is None:
            self.done.set_result(None)
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)


@contextmanager
def _running(command: Sequence[str], environment: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, *command], env={**os.environ, **environment}, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


async def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _key(state: Path, portal: str = PORTAL) -> str:
    connection = open_database(state / "keys.sqlite", KEYS)
    try:
        return add_key(connection, AGENCY, portal, events_per_second=100_000)
    finally:
        connection.close()


def _topics(bootstrap: str, *names: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    known = admin.list_topics(timeout=10).topics
    new = [NewTopic(name, 1, 1) for name in names if name not in known]
    for future in admin.create_topics(new).values() if new else ():
        future.result(30)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch, Stack(Path(scratch), progress=Lines(), usual_ports=None) as running:
        ends = running.endpoints
        place = Path(scratch) / "bench"
        place.mkdir()
        sides = compare(ends.bootstrap, ends.registry_url, place).sides
        sides |= with_readers(ends.bootstrap, ends.registry_url, place).sides
    print(json.dumps({name: round(value, 2) for name, value in sides.items()}, indent=1, ensure_ascii=False))
