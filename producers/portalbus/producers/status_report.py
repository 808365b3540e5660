"""Reading a PortalStatus from an outbox."""

from __future__ import annotations

import os
import sqlite3
from datetime import UTC, datetime, timedelta

from portalbus.producers.outbox import Outbox
from portalbus.producers.source_row import SourceRow, known_source
from portalbus.producers.status import PortalStatus
from portalbus.schemas.errors import OutboxDamaged


def read_status(outbox: Outbox) -> PortalStatus:
    """How the outbox is doing. A damaged one is reported, not raised."""
    try:
        with outbox.reading() as connection:
            row = known_source(connection)
            return _status(outbox, connection, row)
    except OutboxDamaged as error:
        return _blank(outbox, str(error))


def _status(outbox: Outbox, connection: sqlite3.Connection, row: SourceRow) -> PortalStatus:
    stuck = dict(connection.execute("select state, count(*) from undeliverable group by state").fetchall())
    pid, trouble, trouble_at, damaged = connection.execute(
        "select pid, trouble, trouble_at, damaged from delivery"
    ).fetchone()
    next_one = (row.delivered_sequence + 1,)
    oldest = connection.execute("select published_at from event where sequence = ?", next_one).fetchone()
    bounds = outbox.bounds
    dead, held = stuck.get("dead", 0), stuck.get("held", 0)
    return PortalStatus(
        agency=outbox.agency,
        portal=outbox.portal,
        epoch=row.epoch,
        last_sequence=row.last_sequence,
        delivered_sequence=row.delivered_sequence,
        undelivered=row.undelivered,
        delivered=row.delivered_sequence - dead - held,
        dead=dead,
        held=held,
        oldest_undelivered_age=datetime.now(UTC) - _moment(oldest[0]) if oldest else None,
        outbox_bytes=_size(outbox),
        outbox_bytes_bound=bounds.bytes + bounds.keep_bytes,
        fill=max(row.undelivered / bounds.rows, row.undelivered_bytes / bounds.bytes),
        deliverer_pid=pid if pid is not None and _lives(pid) else None,
        last_error=trouble,
        last_error_at=_moment(trouble_at) if trouble_at else None,
        damaged=damaged,
    )


def _blank(outbox: Outbox, damaged: str) -> PortalStatus:
    bounds = outbox.bounds
    return PortalStatus(
        agency=outbox.agency,
        portal=outbox.portal,
        epoch=0,
        last_sequence=0,
        delivered_sequence=0,
        undelivered=0,
        delivered=0,
        dead=0,
        held=0,
        oldest_undelivered_age=None,
        outbox_bytes=_size(outbox),
        outbox_bytes_bound=bounds.bytes + bounds.keep_bytes,
        fill=0.0,
        deliverer_pid=None,
        last_error=None,
        last_error_at=None,
        damaged=damaged,
    )


def _size(outbox: Outbox) -> int:
    pieces = (outbox.path, outbox.path.with_name(outbox.path.name + "-wal"))
    return sum(piece.stat().st_size for piece in pieces if piece.exists())


def _moment(milliseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
