"""The bytes of an answer, unpacked, and never more than allowed."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

import httpcore2

from portalbus.connectors.pull.kind import ReadFailed

GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
PACKINGS = ("gzip", "x-gzip", "deflate")
PIECE = 256 * 1024


class TooLarge(ReadFailed):
    """An answer is larger than what is read."""

    def __init__(self, place: str, limit: int) -> None:
        super().__init__(
            place,
            f"the answer is larger than {limit} bytes; the rest was not read",
            "Let the portal offer fewer items, or raise web.max_bytes",
        )


def pieces(place: str, chunks: Iterable[bytes], packing: str, limit: int) -> Iterator[bytes]:
    """The unpacked body, piece by piece; the limit counts unpacked bytes. Raises TooLarge, ReadFailed."""
    packing = packing.strip().lower()
    if packing in ("", "identity"):
        unpacked: Iterable[bytes] = chunks
    elif packing in PACKINGS:
        unpacked = _inflated(place, chunks)
    else:
        raise ReadFailed(place, f"answers packed as {packing[:20]!r}, which was not asked for", "Ask for gzip only")
    total = 0
    for piece in unpacked:
        total += len(piece)
        if total > limit:
            raise TooLarge(place, limit)
        yield piece


def inflate(place: str, content: bytes, limit: int) -> bytes:
    """A gzip file unpacked. Raises TooLarge, ReadFailed."""
    return b"".join(pieces(place, (content,), "gzip", limit))


def _inflated(place: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(GZIP_OR_ZLIB)
    begun = False
    try:
        for chunk in chunks:
            rest = chunk
            while rest:
                if unpacker.eof:  # a gzip file may be several in a row (RFC 1952, 2.2)
                    unpacker = zlib.decompressobj(GZIP_OR_ZLIB)
                begun = True
                yield unpacker.decompress(rest, PIECE)
                rest = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
    except zlib.error:
        raise ReadFailed(place, "the packed answer is damaged", "The server's gzip is broken: turn it off") from None
    if begun and not unpacker.eof:
        raise ReadFailed(place, "the packed answer ends too early")


CORE_ERRORS = (
    httpcore2.TimeoutException,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.UnsupportedProtocol,
)
"""What the network may raise."""
