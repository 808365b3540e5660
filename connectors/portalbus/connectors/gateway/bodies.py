"""Bodies of requests, read with bounds: bytes, time, encoding, and what is being worked on at once."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic_core import from_json
from starlette.requests import ClientDisconnect, Request

from portalbus.connectors.gateway.problems import Refusal

RETRY_S = "2"
TOO_DEEP = "recursion limit exceeded"
IDENTITY = ("", "identity")


class Room:
    """How much may be worked on at once: bytes of bodies, and requests."""

    def __init__(self, most_bytes: int, most_requests: int) -> None:
        self._most_bytes = most_bytes
        self._most_requests = most_requests
        self.bytes = 0
        self.requests = 0

    def place(self) -> Place:
        """A place for one request, taken and given back as a context. Raises Refusal when there is none."""
        if self.requests >= self._most_requests:
            raise Refusal("gateway.busy", headers={"Retry-After": RETRY_S})
        return Place(self)

    def take(self, size: int) -> None:
        """Takes room for so many bytes. Raises Refusal."""
        if self.bytes + size > self._most_bytes:
            raise Refusal("gateway.busy", headers={"Retry-After": RETRY_S})
        self.bytes += size


class Place:
    """What one request has taken of the room."""

    __slots__ = ("_room", "bytes")

    def __init__(self, room: Room) -> None:
        self._room = room
        self.bytes = 0

    def __enter__(self) -> Place:
        """Counts the request."""
        self._room.requests += 1
        return self

    def __exit__(self, *_: object) -> None:
        """Gives everything back."""
        self._room.requests -= 1
        self._room.bytes -= self.bytes

    def take(self, size: int) -> None:
        """Takes room for so many bytes more. Raises Refusal."""
        self._room.take(size)
        self.bytes += size


async def read_body(request: Request, place: Place, most: int, seconds: float) -> bytes:
    """The body. Raises Refusal when it is too large, too slow or encoded, ClientDisconnect when it breaks off."""
    if request.headers.get("content-encoding", "").strip().lower() not in IDENTITY:
        raise Refusal("gateway.content-encoding", headers={"Accept-Encoding": "identity"})
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and len(declared) < 20 and int(declared) > most:
        raise _too_large(most)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > most:
                    raise _too_large(most)
                place.take(len(chunk))
                chunks.append(chunk)
    except TimeoutError:
        raise Refusal("gateway.body-too-slow", {"bound": f"{seconds:g}"}, {"Connection": "close"}) from None
    return b"".join(chunks) if len(chunks) != 1 else chunks[0]


def parsed(body: bytes) -> Any:
    """The JSON in a body. Raises Refusal."""
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        reason = str(error)
        if TOO_DEEP in reason:
            raise Refusal("gateway.too-deep") from None
        raise Refusal("gateway.not-json", {"reason": reason[:100]}) from None


def _too_large(most: int) -> Refusal:
    return Refusal("gateway.body-too-large", {"bound": str(most)})


__all__ = ["ClientDisconnect", "Place", "Room", "parsed", "read_body"]
