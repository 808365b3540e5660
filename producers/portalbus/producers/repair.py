"""Starting anew after damage: a new epoch, and nothing lost that can still be read."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from portalbus.producers import logs
from portalbus.producers.database import Database, create_file
from portalbus.producers.delivery_lock import DeliveryLock
from portalbus.producers.high_water import HighWater, Mark
from portalbus.producers.outbox import insert_events, outbox_path
from portalbus.producers.salvage import Salvage, placed, salvage
from portalbus.producers.source_row import SourceRow, known_source, write_source
from portalbus.schemas.errors import OutboxDamaged, OutboxUnavailable

MINUTES_2020 = 26_297_280
"""Minutes from 1970 to 2020: an epoch counted from there is higher than any that was counted from one."""


@dataclass(frozen=True, slots=True)
class Repair:
    """What a repair did. `kept` events will be delivered in the new epoch; `altered` ones were not as they were stored;
    `missing` ones were acknowledged and are no longer in the file. The damaged file lies at `aside`, for a person.
    """

    epoch: int
    kept: int
    altered: int
    missing: int
    aside: Path | None


def repair_outbox(folder: Path, agency: str, portal: str) -> Repair:
    """Starts a new epoch of a source's outbox; stop every process that publishes into it before.

    Every readable event of which it is not certain that it was delivered keeps its id and gets a new sequence. The
    damaged file is renamed, not removed. May be killed and run again. Raises OutboxUnavailable while a process
    delivers this outbox.
    """
    path = outbox_path(folder, agency, portal)
    lock = DeliveryLock(path.with_suffix(".delivery"))
    if not lock.acquire():
        raise OutboxUnavailable(f"{path} is being delivered by a running process: stop it first")
    try:
        return _repair(path, agency, portal)
    finally:
        lock.release()


def _repair(path: Path, agency: str, portal: str) -> Repair:
    high_water = HighWater(path.with_suffix(".mark"))
    try:
        mark = high_water.read() or Mark(0, 0)
    except OutboxDamaged:
        mark = Mark(0, 0)
    whole = path.with_suffix(".repaired")
    readable = Salvage()
    if not whole.exists():  # else an earlier repair was killed before it could put the file in its place
        if path.exists():
            readable = salvage(path)
        epoch = max(mark.epoch, readable.epoch) + 1
        _build(whole, SourceRow(agency, portal, epoch if epoch > 1 else _unused_epoch()), readable)
    row = _row_of(whole)
    aside = _set_aside(path)
    high_water.raise_to(Mark(row.epoch, row.last_sequence))
    high_water.sync()
    high_water.close()
    whole.rename(path)
    missing = max(mark.sequence - readable.last, 0)
    logs.warning(
        logs.OUTBOX_REPAIRED,
        source=f"{agency}/{portal}",
        epoch=row.epoch,
        kept=row.undelivered,
        altered=readable.altered,
        missing=missing,
    )
    return Repair(row.epoch, row.undelivered, readable.altered, missing, aside)


def _build(whole: Path, row: SourceRow, readable: Salvage) -> None:
    part = whole.with_suffix(".part")
    for leftover in (part, _beside(part, "-wal"), _beside(part, "-shm")):
        leftover.unlink(missing_ok=True)
    create_file(part)
    events = [placed(event, row.epoch, number) for number, event in enumerate(readable.undelivered, 1)]
    row.last_sequence = len(events)
    row.undelivered_bytes = sum(len(event.body) for event in events)
    database = Database(part, durable=True)
    with database.transaction() as connection:
        insert_events(connection, events)
        connection.executemany("insert into verdict values (?, ?, ?, ?, ?)", readable.verdicts)
        connection.execute("update verdict_place set next_offset = ?, called_offset = ?", readable.verdict_place)
        write_source(connection, row)
    database.close()  # the last one to close moves the log into the file
    part.rename(whole)


def _row_of(path: Path) -> SourceRow:
    database = Database(path, durable=True)
    with database.reading() as connection:
        row = known_source(connection)
    database.close()
    return row


def _set_aside(path: Path) -> Path | None:
    """Renames the damaged file and its log, which must never meet the new file."""
    aside = path.with_suffix(f".damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    moved = path.exists()
    for ending in ("-shm", "-wal", ""):
        if (piece := _beside(path, ending)).exists():
            piece.rename(_beside(aside, ending))
    return aside if moved else None


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _unused_epoch() -> int:
    # Neither the mark nor the file could say which epoch it was.
    return int(time.time() // 60) - MINUTES_2020
