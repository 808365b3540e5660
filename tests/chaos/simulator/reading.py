"""What lies in a lane's value, by the product's own codec. Bytes that were read once are not decoded again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from unittest.mock import patch

from bus_events import writers
from portalbus.schemas.codec import Decoded, Misshapen, WriterSchemas, read
from portalbus.schemas.models import SourceStatement
from portalbus.streams.decoding import contents


@lru_cache(maxsize=4_096)
def read_once(value: bytes) -> Decoded | Misshapen | SourceStatement:
    """The event or statement in a value. Raises UndecodableRecord."""
    return read(value, writers())


def decode(value: bytes) -> Decoded:
    """The event in a value that holds one."""
    found = read_once(value)
    assert isinstance(found, Decoded)
    return found


@contextmanager
def remembered() -> Iterator[None]:
    """Workers read what was read before from memory while inside."""

    def of_any(value: bytes | None, _: WriterSchemas) -> Decoded | Misshapen | SourceStatement:
        return read_once(value or b"")

    with patch.object(contents, "read", of_any):
        yield
