"""uvicorn's HTTP protocol, with an end to its patience: the head of a request has to arrive within some seconds.

uvicorn waits for ever for a client that sends a byte now and then; a few hundred of them cost file descriptors.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


def patient_protocol(seconds: float) -> type[H11Protocol]:
    """The protocol class for so much patience."""

    class PatientProtocol(H11Protocol):
        """Closes a connection whose next request does not begin and end its head in time."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._head_due: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            """A client connected: the clock runs."""
            super().connection_made(transport)
            self._head_due = self.loop.call_later(seconds, self._lose_patience)

        def data_received(self, data: bytes) -> None:
            """Bytes came: the clock stops with the end of the head, and starts with the next one's first byte."""
            super().data_received(data)
            if self.conn.their_state is not h11.IDLE:
                if self._head_due is not None:
                    self._head_due.cancel()
                    self._head_due = None
            elif self._head_due is None:
                self._head_due = self.loop.call_later(seconds, self._lose_patience)

        def connection_lost(self, exc: Exception | None) -> None:
            """The clock stops for good."""
            if self._head_due is not None:
                self._head_due.cancel()
                self._head_due = None
            super().connection_lost(exc)

        def _lose_patience(self) -> None:
            self._head_due = None
            if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
                self.transport.close()

    return PatientProtocol
