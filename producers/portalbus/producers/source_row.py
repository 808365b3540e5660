"""The one row that says how far an outbox got, with a checksum over itself."""

from __future__ import annotations

import sqlite3
import zlib
from dataclasses import dataclass

from portalbus.schemas.errors import OutboxDamaged


@dataclass(slots=True)
class SourceRow:
    """Whose outbox it is and how far it got; bytes count bodies only."""

    agency: str
    portal: str
    epoch: int
    last_sequence: int = 0
    delivered_sequence: int = 0
    undelivered_bytes: int = 0
    kept_bytes: int = 0

    @property
    def undelivered(self) -> int:
        """Events that wait for delivery."""
        return self.last_sequence - self.delivered_sequence


def known_source(connection: sqlite3.Connection) -> SourceRow:
    """The row of an outbox that was opened before. Raises OutboxDamaged when it is gone or was altered."""
    row = read_source(connection)
    if row is None:
        raise OutboxDamaged("the outbox was emptied: run `portalbus outbox repair`")
    return row


def read_source(connection: sqlite3.Connection) -> SourceRow | None:
    """The row, None in a new file. Raises OutboxDamaged when the row contradicts its checksum."""
    found = connection.execute(
        "select agency, portal, epoch, last_sequence, delivered_sequence, undelivered_bytes, kept_bytes, checksum"
        " from source"
    ).fetchone()
    if found is None:
        return None
    row = SourceRow(*found[:-1])
    if found[-1] != _checksum(row):
        raise OutboxDamaged("the outbox contradicts its own checksum: run `portalbus outbox repair`")
    return row


def write_source(connection: sqlite3.Connection, row: SourceRow) -> None:
    """Stores the row."""
    values = (*_columns(row), _checksum(row))
    connection.execute("insert or replace into source values (1, ?, ?, ?, ?, ?, ?, ?, ?)", values)


def _checksum(row: SourceRow) -> int:
    return zlib.crc32(repr(_columns(row)).encode())


def _columns(row: SourceRow) -> tuple[str, str, int, int, int, int, int]:
    # Every publish asks for this twice, and `dataclasses.astuple` copies deeply.
    return (
        row.agency,
        row.portal,
        row.epoch,
        row.last_sequence,
        row.delivered_sequence,
        row.undelivered_bytes,
        row.kept_bytes,
    )
