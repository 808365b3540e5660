"""A way to a broker on which the first request to write of each connection is refused, as by one that is just starting.

It is refused when the next one is on its way, if the client sends one before it has an answer. A broker that has not
heard of a producer takes whatever number comes first; so it takes that next one.
"""

from __future__ import annotations

import asyncio
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable

PRODUCE = 0
FLEXIBLE, WITH_RECORD_ERRORS, WITH_START_OFFSET = 9, 8, 5
"""Versions of the protocol in which the answer changed its form."""
NOT_LEADER = 6
PATIENCE_S = 2.0


async def refuse_first_write(
    client: StreamReader, back: StreamWriter, server: StreamWriter, topic: str, told: Callable[[], None]
) -> None:
    """Passes requests on, and calls `told` when it has refused one. Raises asyncio.IncompleteReadError at the end."""
    while not _is_write(first := await read_frame(client)):
        server.write(first)
    coming = asyncio.ensure_future(read_frame(client))
    await asyncio.wait([coming], timeout=PATIENCE_S)
    back.write(refusal(first, topic))
    told()
    while True:
        server.write(await coming)
        coming = asyncio.ensure_future(read_frame(client))


async def read_frame(source: StreamReader) -> bytes:
    """One request or answer, with its length before it."""
    length = await source.readexactly(4)
    return length + await source.readexactly(int.from_bytes(length))


def refusal(request: bytes, topic: str) -> bytes:
    """The answer of a broker that does not lead partition 0 of this topic (yet) to a request to write to it."""
    _, version, correlation = struct.unpack_from(">hhi", request, 4)
    flexible = version >= FLEXIBLE
    name = topic.encode()
    partition = struct.pack(">ihqq", 0, NOT_LEADER, -1, -1)
    partition += struct.pack(">q", -1) if version >= WITH_START_OFFSET else b""
    if flexible:  # lengths are one more than they are, and whatever is tagged comes last: nothing
        partition += b"\x01\x00\x00"
        body = b"\x00\x02" + bytes([len(name) + 1]) + name + b"\x02" + partition + b"\x00" + bytes(4) + b"\x00"
    else:
        partition += struct.pack(">ih", 0, -1) if version >= WITH_RECORD_ERRORS else b""
        body = struct.pack(">ih", 1, len(name)) + name + struct.pack(">i", 1) + partition + bytes(4)
    answer = struct.pack(">i", correlation) + body
    return struct.pack(">i", len(answer)) + answer


def _is_write(frame: bytes) -> bool:
    return int.from_bytes(frame[4:6]) == PRODUCE
