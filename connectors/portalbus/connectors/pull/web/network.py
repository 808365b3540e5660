"""The network under the web client: connections to checked addresses only, and one deadline over all that is read."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any

import httpcore2

from portalbus.connectors.pull.web.addresses import AddressPolicy

LEAST_SECONDS = 0.05


class Deadline:
    """Until when something must be done, on the monotonic clock; put anew for each request."""

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping
        self._until = float("inf")

    def put(self, seconds: float) -> None:
        """From now on there are so many seconds."""
        self._until = time.monotonic() + seconds

    def left(self, timeout: float | None) -> float:
        """The seconds that one step may take. Raises httpcore2.ReadTimeout when there are none."""
        left = self._until - time.monotonic()
        if left <= 0 or self._stopping.is_set():
            raise httpcore2.ReadTimeout("the time for the whole answer is over")
        return max(min(left, timeout if timeout is not None else left), LEAST_SECONDS)


class CheckedNetwork(httpcore2.NetworkBackend):
    """Connects to an address only after it was checked, and to that one; TLS still checks the host's name."""

    def __init__(self, policy: AddressPolicy, deadline: Deadline) -> None:
        self._policy = policy
        self._deadline = deadline
        self._sockets = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """A connection. Raises ReadFailed for an address that is not allowed, and httpcore2's errors."""
        addresses = self._policy.checked(host, port, self._deadline.left(timeout))
        for place, address in enumerate(addresses, 1):
            try:
                stream = self._sockets.connect_tcp(
                    address, port, self._deadline.left(timeout), local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if place == len(addresses):
                    raise
            else:
                return _BoundedStream(stream, self._deadline)
        raise httpcore2.ConnectError("no address answers")


class _BoundedStream(httpcore2.NetworkStream):
    """A stream whose every step also ends at the deadline: a server that drips a byte a second cannot hold it."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Some bytes."""
        return self._stream.read(max_bytes, self._deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Sends bytes."""
        self._stream.write(buffer, self._deadline.left(timeout))

    def close(self) -> None:
        """Closes it."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        """The same stream under TLS."""
        left = self._deadline.left(timeout)
        return _BoundedStream(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        """What the stream knows of itself."""
        return self._stream.get_extra_info(info)
