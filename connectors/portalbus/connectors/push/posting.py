"""One HTTP request to one receiver: signed, to an address that was checked, bounded in time and size."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from importlib.metadata import version

import httpcore2

from portalbus.connectors.push.messages import CONTENT_TYPE
from portalbus.connectors.push.receiver_queue import Failure
from portalbus.connectors.push.signing import signed_headers
from portalbus.connectors.web_addresses import AddressRefused, Lookup, anywhere, is_public, resolved, web_address

TIMEOUT_S = 15.0
MOST_ANSWER_BYTES = 64 * 1024
KEEP_ALIVE_S = 30.0
CONNECT_S = 5.0
MOST_ADDRESSES = 3
GONE = 410
ASKS_FOR_PEACE = frozenset({429, 502, 503, 504})
USER_AGENT = f"portalbus-webhooks/{version('portalbus')}"


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of a request: no `failure` when the receiver has taken the message."""

    status: int | None
    failure: Failure | None
    seconds: float


class CheckedNetwork(httpcore2.AsyncNetworkBackend):
    """Connects to the addresses that were checked, never to a name again. `private` lets our own networks pass."""

    def __init__(self, resolvers: Executor, *, private: bool, lookup: Lookup | None = None) -> None:
        self._resolvers = resolvers
        self._allows = anywhere if private else is_public
        self._lookup = lookup
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection. Raises AddressRefused, and httpcore2's errors."""
        try:
            found = await asyncio.get_running_loop().run_in_executor(
                self._resolvers, lambda: resolved(host, port, allows=self._allows, lookup=self._lookup)
            )
        except OSError as error:
            raise httpcore2.ConnectError(f"{host} has no address") from error
        last: Exception = httpcore2.ConnectError(host)
        patience = CONNECT_S if timeout is None else min(timeout, CONNECT_S)
        for address in found[:MOST_ADDRESSES]:
            try:
                return await self._inner.connect_tcp(str(address), port, patience, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                last = error
        raise last


class Poster:
    """Posts to one receiver, over connections of its own. Close it."""

    def __init__(
        self, url: str, network: CheckedNetwork, tls: ssl.SSLContext, *, room: int, timeout: float = TIMEOUT_S
    ) -> None:
        self._url = url
        self._timeout = timeout
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls,
            network_backend=network,
            max_connections=room,
            max_keepalive_connections=room,
            keepalive_expiry=KEEP_ALIVE_S,
        )

    async def post(self, secrets: list[str], webhook_id: str, body: str, *, internal: bool) -> Posted:
        """Posts one message. Never raises for what a receiver or the network does."""
        began = time.monotonic()
        status: int | None = None
        try:
            address = web_address(self._url, plain=internal)
            content = body.encode()
            headers = {
                "Content-Type": f"{CONTENT_TYPE}; charset=utf-8",
                "User-Agent": USER_AGENT,
                **signed_headers(secrets, webhook_id, int(time.time()), content),
            }
            async with asyncio.timeout(self._timeout):
                async with self._pool.stream(
                    "POST", str(address), headers=[*headers.items()], content=content
                ) as response:
                    status = response.status
                    pause = _asked_pause(response)
                    await _read_bounded(response)
            failure = _failure_of(status, pause)
        except AddressRefused as error:
            failure = Failure(str(error), silent=True)
        except Exception as error:  # whatever a receiver makes a library raise is that receiver's failure
            # The status decides, even when the rest of the answer does not come.
            failure = _failure_of(status, 0) if status else Failure(self._in_words(error), silent=True)
        return Posted(status, failure, time.monotonic() - began)

    async def close(self) -> None:
        """Closes the connections."""
        await self._pool.aclose()

    def _in_words(self, error: Exception) -> str:
        if isinstance(error, TimeoutError | httpcore2.TimeoutException):
            return f"no answer within {self._timeout:g} s"
        cause = error.__cause__ or error.__context__
        if isinstance(cause, ssl.SSLError) or isinstance(error, ssl.SSLError):
            return f"TLS failed: {getattr(cause or error, 'reason', None) or 'the certificate was refused'}"
        return f"no connection ({type(error).__name__})"


async def _read_bounded(response: httpcore2.Response) -> None:
    """Reads the answer as far as it is small, so that the connection can be used again; a large one is cut off."""
    size = 0
    async for chunk in response.aiter_stream():
        size += len(chunk)
        if size > MOST_ANSWER_BYTES:
            return


def _failure_of(status: int, pause: float) -> Failure | None:
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return Failure(f"answered {status}: redirects are not followed, give the new address")
    return Failure(f"answered {status}", silent=status in ASKS_FOR_PEACE, pause=pause, final=status == GONE)


def _asked_pause(response: httpcore2.Response) -> float:
    """Seconds that `Retry-After` asks for (RFC 9110 10.2.3); 0 without one."""
    said = next((value.decode("latin-1") for name, value in response.headers if name.lower() == b"retry-after"), "")
    if said.strip().isdecimal():
        return float(said[:9])
    try:
        return max(parsedate_to_datetime(said).timestamp() - time.time(), 0.0) if said else 0.0
    except (TypeError, ValueError):
        return 0.0
