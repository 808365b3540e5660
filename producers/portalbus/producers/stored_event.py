"""One event as it lies in the outbox."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from portalbus.schemas.errors import OutboxDamaged

SELECT_EVENTS = (
    "select sequence, event_id, event_type, schema_version, key, occurred_at, published_at, traceparent, content_hash,"
    " body, checksum from event"
)
INSERT_EVENTS = (
    "insert into event (sequence, event_id, event_type, schema_version, key, occurred_at, published_at, traceparent,"
    " content_hash, body, checksum) values "
)
EVENT_COLUMNS = 11


class StoredEvent(NamedTuple):
    """A row of the table `event`; times in milliseconds since 1970 UTC, `event_id` the 16 bytes of the UUID."""

    sequence: int
    event_id: bytes
    event_type: str
    schema_version: int
    key: str
    occurred_at: int
    published_at: int
    traceparent: str | None
    content_hash: bytes
    body: bytes

    def __repr__(self) -> str:
        return f"<StoredEvent {self.sequence} {id_text(self.event_id)} {len(self.body)} bytes>"

    @property
    def checksum(self) -> int:
        """CRC-32 over everything that is sent: SQLite itself would not notice a flipped bit in a value."""
        times = f"{self.occurred_at}|{self.published_at}"
        head = f"{self.event_type}|{self.schema_version}|{self.key}|{times}|{self.traceparent}"
        start = zlib.crc32(struct.pack(">Q", self.sequence) + self.event_id + self.content_hash + head.encode())
        return zlib.crc32(self.body, start)


def stored_events(rows: Iterable[Any]) -> list[StoredEvent]:
    """Rows of `SELECT_EVENTS`, each checked. Raises OutboxDamaged naming the first that was altered."""
    events = []
    for row in rows:
        event = StoredEvent(*row[:-1])
        if event.checksum != row[-1]:
            raise OutboxDamaged(f"event {event.sequence} in the outbox was altered: run `portalbus outbox repair`")
        events.append(event)
    return events


def id_bytes(event_id: str) -> bytes:
    """The 16 bytes of a UUID in its text form."""
    return bytes.fromhex(event_id.replace("-", ""))


def id_text(event_id: bytes) -> str:
    """The text form of a UUID."""
    text = event_id.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
