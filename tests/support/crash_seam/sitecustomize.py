"""Put on the PYTHONPATH of a worker under test: its decoder dies of the marker, as a decoder with a bug in C would."""

from __future__ import annotations

import ctypes
from typing import Any

from portalbus.schemas import codec

MARKER = b"kills the decoder"

_real = codec.schemaless_reader


def _deadly(stream: Any, *arguments: Any) -> Any:
    if MARKER in stream.getvalue():
        ctypes.string_at(0)  # a real one, in this very thread: a signal might reach another one first
    return _real(stream, *arguments)


codec.schemaless_reader = _deadly
