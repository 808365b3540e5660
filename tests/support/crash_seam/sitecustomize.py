"""Put on the PYTHONPATH of a worker under test: its decoder dies of the marker, as a decoder with a bug in C would."""

from __future__ import annotations

import os
import signal
from typing import Any

from portalbus.schemas import codec

MARKER = b"kills the decoder"

_real = codec.schemaless_reader


def _deadly(stream: Any, *arguments: Any) -> Any:
    if MARKER in stream.getvalue():
        os.kill(os.getpid(), signal.SIGSEGV)
    return _real(stream, *arguments)


codec.schemaless_reader = _deadly
