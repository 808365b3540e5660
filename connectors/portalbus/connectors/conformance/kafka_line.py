"""A line between Kafka clients and the broker in this process that can be cut, go silent, or lose answers.

The broker tells its clients where it listens, and they would go around the line. So the port in what it says is
replaced by the line's own; that has the same length, so nothing else in the answer moves.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

from portalbus.connectors.conformance.scenario import Disturb

PRODUCE, METADATA, FIND_COORDINATOR = 0, 3, 10
TELLS_ADDRESSES = frozenset({METADATA, FIND_COORDINATOR})
HOST = "127.0.0.1"


class KafkaLine:
    """Listens on a port of this machine and passes everything on to `broker`, unless it is disturbed."""

    def __init__(self, broker: tuple[str, int]) -> None:
        self._broker = broker
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._cut = False
        self._losing = 0
        self._flowing = threading.Event()
        self._flowing.set()
        threading.Thread(target=self._accept, name="conformance-line", daemon=True).start()

    @property
    def bootstrap(self) -> str:
        """Where clients find the broker through this line."""
        return f"{HOST}:{self.port}"

    def disturb(self, disturbance: Disturb) -> None:
        """Cuts every connection, holds everything back, or loses the answers to so many writes."""
        if disturbance.how == "outage":
            self._cut = True
            self._hang_up()
        elif disturbance.how == "hang":
            self._flowing.clear()
        elif disturbance.how == "lose-answers":
            self._losing = disturbance.times or -1

    def heal(self) -> None:
        """Lets everything through; what was held back comes now."""
        self._cut, self._losing = False, 0
        self._flowing.set()

    def close(self) -> None:
        """Ends every connection."""
        self._cut = True
        self._listener.close()
        self._flowing.set()
        self._hang_up()

    def _hang_up(self) -> None:
        with self._lock:
            for connection in self._open:
                _end(connection)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._cut:
                client.close()
                continue
            broker = socket.create_connection(self._broker)
            with self._lock:
                self._open |= {client, broker}
            asked: dict[bytes, int] = {}
            self._start(self._carry_request, client, broker, asked)
            self._start(self._carry_answer, broker, client, asked)

    def _start(self, carry: Callable[..., bool], source: socket.socket, sink: socket.socket, *about: object) -> None:
        threading.Thread(target=self._pump, args=(carry, source, sink, *about), daemon=True).start()

    def _pump(self, carry: Callable[..., bool], source: socket.socket, sink: socket.socket, *about: object) -> None:
        with contextlib.suppress(OSError):
            while (frame := _frame(source)) is not None and carry(frame, sink, *about):
                pass
        for connection in (source, sink):
            _end(connection)
        with self._lock:
            self._open -= {source, sink}

    def _carry_request(self, frame: bytes, broker: socket.socket, asked: dict[bytes, int]) -> bool:
        self._flowing.wait()
        asked[frame[8:12]] = int.from_bytes(frame[4:6])
        broker.sendall(frame)
        return True

    def _carry_answer(self, frame: bytes, client: socket.socket, asked: dict[bytes, int]) -> bool:
        self._flowing.wait()
        kind = asked.pop(frame[4:8], -1)
        if kind == PRODUCE and self._losing:
            self._losing -= 1
            return False
        client.sendall(self._through_here(frame) if kind in TELLS_ADDRESSES else frame)
        return True

    def _through_here(self, frame: bytes) -> bytes:
        host, port = self._broker
        name = host.encode()
        return frame.replace(name + port.to_bytes(4), name + self.port.to_bytes(4))


def _frame(source: socket.socket) -> bytes | None:
    """One message with its length in front; None at the end."""
    head = _exactly(source, 4)
    rest = _exactly(source, int.from_bytes(head)) if head else None
    return head + rest if head and rest is not None else None


def _exactly(source: socket.socket, count: int) -> bytes | None:
    found = bytearray()
    while len(found) < count:
        part = source.recv(count - len(found))
        if not part:
            return None
        found += part
    return bytes(found)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
