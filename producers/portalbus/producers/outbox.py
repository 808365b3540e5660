"""The durable outbox of one source: what was acknowledged lies here until the broker has it, and a while longer."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from portalbus.producers import logs
from portalbus.producers.database import REPAIR, Database, create_file
from portalbus.producers.group_commit import GroupCommit, Request
from portalbus.producers.high_water import HighWater, Mark
from portalbus.producers.receipt import Receipt
from portalbus.producers.source_row import SourceRow, known_source, read_source, write_source
from portalbus.producers.stored_event import (
    EVENT_COLUMNS,
    INSERT_EVENTS,
    SELECT_EVENTS,
    StoredEvent,
    id_bytes,
    stored_events,
)
from portalbus.schemas.errors import EventRefused, OutboxDamaged, OutboxFull, OutboxUnavailable

if TYPE_CHECKING:
    from portalbus.producers.draft import Draft
    from portalbus.producers.settings import Bounds

_INSERT_ROWS = 50
DISK_SECONDS = 1.0
"""How long a look at the free space counts; SQLite itself refuses what does not fit."""
_PLACES = "(" + ",".join("?" * EVENT_COLUMNS) + ")"


class Outbox:
    """The outbox file of one source in `folder`, its mark beside it. Threads and processes may share it.

    Nothing is opened before the first use. Every method raises OutboxDamaged when the file is unreadable or shorter
    than what was acknowledged, and OutboxUnavailable when it cannot be used for another reason.
    """

    def __init__(self, folder: Path, agency: str, portal: str, bounds: Bounds) -> None:
        self.folder = folder
        self.agency = agency
        self.portal = portal
        self.bounds = bounds
        self.path = outbox_path(folder, agency, portal)
        self.mark = HighWater(self.path.with_suffix(".mark"))
        self._database = Database(self.path, durable=True)
        self._group: GroupCommit[Sequence[Draft], list[Receipt]] = GroupCommit(self._commit)
        self._opened = False
        self._disk_known_until = 0.0
        self._mark_behind = False

    @property
    def source(self) -> str:
        """Agency and portal: `H26/www`."""
        return f"{self.agency}/{self.portal}"

    def open(self) -> None:
        """Creates the outbox, or checks that it is whole: structure, checksums, contiguity, and the mark.

        Raises OutboxDamaged with what to do about it.
        """
        if not self.path.exists():
            self._create()
        self._database.sound()
        with self._database.transaction() as connection:
            row = read_source(connection)
            if row is None:
                self._be_new(connection)
            else:
                self._check(connection, row)
        self._opened = True

    def append(self, drafts: Sequence[Draft]) -> list[Receipt]:
        """Gives the drafts their sequences and stores them, all or none; durable when it returns.

        Raises EventRefused when an id was used for something else, and OutboxFull at a bound.
        """
        if not drafts:
            return []
        self._ready()
        return self._group.submit(drafts)

    def source_row(self) -> SourceRow:
        """How far the outbox got."""
        with self.reading() as connection:
            return known_source(connection)

    def events(self, first: int, last: int) -> list[StoredEvent]:
        """Stored events by sequence, both ends included, oldest first; delivered ones as long as they are kept."""
        with self.reading() as connection:
            rows = connection.execute(
                SELECT_EVENTS + " where sequence between ? and ? order by sequence", (first, last)
            )
            return stored_events(rows)

    def event(self, event_id: str) -> StoredEvent | None:
        """The stored event with this id, None when there is none (any more)."""
        with self.reading() as connection:
            return _by_id(connection, id_bytes(event_id))

    def stuck_between(self, first: int, last: int) -> int:
        """How many events of a range could not be delivered."""
        with self.reading() as connection:
            (count,) = connection.execute(
                "select count(*) from undeliverable where sequence between ? and ?", (first, last)
            ).fetchone()
        return int(count)

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """A connection to read one consistent state from, as a context."""
        self._ready()
        return self._database.reading()

    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """A durable write transaction, as a context; for rare things such as an operator's decision."""
        self._ready()
        return self._database.transaction()

    def second_database(self) -> Database:
        """Another connection to the same file, for what need not outlive a power cut."""
        self._ready()
        return Database(self.path, durable=False)

    def acquire(self) -> None:
        """Waits for running transactions and closes the file: the process is about to fork."""
        self._database.lock.acquire()
        self._database.close()
        self.mark.close()

    def release(self, *, forked: bool) -> None:
        """After the fork, in the parent and in the child: the file may be used again."""
        if forked:
            self._group = GroupCommit(self._commit)
        self._database.lock.release()

    def close(self) -> None:
        """Closes the file."""
        self._database.close()
        self.mark.close()

    def _ready(self) -> None:
        if not self._opened:
            with self._database.lock:
                if not self._opened:
                    self.open()

    def _create(self) -> None:
        mark = self._read_mark()
        if mark is not None and mark.sequence:
            raise OutboxDamaged(
                f"{self.path} is gone, but {mark.sequence} events were published from it: put it back, or {REPAIR}"
            )
        create_file(self.path)

    def _be_new(self, connection: sqlite3.Connection) -> None:
        mark = self._read_mark()
        if mark is not None and mark.sequence:
            raise OutboxDamaged(f"{self.path} is empty, but {mark.sequence} events were published from it: {REPAIR}")
        # The mark comes first: once an event lies in the file, a missing mark is damage.
        epoch = mark.epoch if mark else 1
        self.mark.raise_to(Mark(epoch, 0))
        self.mark.sync()  # afterwards it may lag behind; a power cut must not take it away
        write_source(connection, SourceRow(self.agency, self.portal, epoch))

    def _check(self, connection: sqlite3.Connection, row: SourceRow) -> None:
        if (row.agency, row.portal) != (self.agency, self.portal):
            owner = f"{row.agency}/{row.portal}"
            raise OutboxDamaged(f"{self.path} belongs to {owner}, not to {self.source}: give each its own")
        if row.last_sequence and self._read_mark() is None:
            raise OutboxDamaged(f"{self.mark.path} is gone: put it back, or {REPAIR}")
        self._check_mark(row)
        after = row.delivered_sequence
        stored = connection.execute(SELECT_EVENTS + " where sequence > ? order by sequence", (after,))
        for expected, event in enumerate(_one_by_one(stored), after + 1):
            if event.sequence != expected:
                break
            after = expected
        if after != row.last_sequence:
            raise OutboxDamaged(f"event {after + 1} of {row.last_sequence} is missing in {self.path}: {REPAIR}")
        _check_reported(connection)
        self._catch_up_mark(row)

    def _catch_up_mark(self, row: SourceRow) -> None:
        """A power cut may have set the mark back: an older copy of the file, put here next, would go unnoticed."""
        if self._read_mark() != (row.epoch, row.last_sequence):
            self._raise_mark(Mark(row.epoch, row.last_sequence))
            if not self._mark_behind:
                self.mark.sync()

    def _check_mark(self, row: SourceRow) -> None:
        """Under the write lock nobody can have committed after `row`, so the mark is never above a sound file."""
        mark = self._read_mark()
        if mark is not None and mark > (row.epoch, row.last_sequence):
            raise OutboxDamaged(
                f"{self.path} ends at event {row.last_sequence} of epoch {row.epoch}, but event {mark.sequence} of"
                f" epoch {mark.epoch} was acknowledged: it was damaged, or is an old copy. Put the newest one back,"
                f" or {REPAIR}"
            )

    def _commit(self, group: Sequence[Request[Sequence[Draft], list[Receipt]]]) -> None:
        with self._database.lock:
            with self._database.transaction() as connection:
                row = known_source(connection)
                _check_reported(connection)
                self._check_mark(row)
                self._check_disk()
                fresh: dict[bytes, StoredEvent] = {}
                for request in group:
                    try:
                        row = self._place(connection, row, request, fresh)
                    except (EventRefused, OutboxFull) as error:
                        request.error = error
                if fresh:
                    insert_events(connection, list(fresh.values()))
                    write_source(connection, row)
            self._raise_mark(Mark(row.epoch, row.last_sequence))

    def _raise_mark(self, mark: Mark) -> None:
        """What was committed is stored, and is acknowledged as such: it is not the place to fail any more.

        Where the mark cannot be written, the delivery goes by the outbox itself, says so, and raises the mark later.
        """
        try:
            self.mark.raise_to(mark)
        except OSError as error:
            if not self._mark_behind:
                logs.warning(logs.MARK_BEHIND, source=self.source, found=f"{self.mark.path}: {error.strerror}")
            self._mark_behind = True
        else:
            self._mark_behind = False

    def _read_mark(self) -> Mark | None:
        try:
            return self.mark.read()
        except OSError as error:
            raise OutboxUnavailable(
                f"{self.mark.path} cannot be read ({error.strerror}): nothing was stored. Look at this disk"
            ) from error

    def _place(
        self,
        connection: sqlite3.Connection,
        row: SourceRow,
        request: Request[Sequence[Draft], list[Receipt]],
        fresh: dict[bytes, StoredEvent],
    ) -> SourceRow:
        """Puts one request's drafts behind `fresh`; returns the row after it. Changes nothing when it raises."""
        row = replace(row)
        placed: dict[bytes, StoredEvent] = {}
        receipts = []
        now = time.time_ns() // 1_000_000
        for draft in request.work:
            first = placed.get(draft.id_bytes) or fresh.get(draft.id_bytes)
            if first is None and (draft.repeatable or request.tried):
                first = _by_id(connection, draft.id_bytes)
            if first is None:
                row.last_sequence += 1
                first = _event(draft, row, now)
                row.undelivered_bytes += len(first.body)
                placed[draft.id_bytes] = first
            elif (first.content_hash, first.event_type) != (draft.content_hash, draft.event_type):
                raise _id_reused()
            receipts.append(Receipt(draft.event_id, first.sequence, row.epoch, first.key))
        self._check_bounds(row, bool(placed))
        fresh.update(placed)
        request.result = receipts
        return row

    def _check_bounds(self, row: SourceRow, growing: bool) -> None:
        if growing and (row.undelivered > self.bounds.rows or row.undelivered_bytes > self.bounds.bytes):
            raise OutboxFull(
                f"the outbox of {self.source} may hold {self.bounds.rows} undelivered events and {self.bounds.bytes}"
                f" bytes; this would make {row.undelivered} and {row.undelivered_bytes}. Nothing was stored."
                " See status() for what keeps them from being delivered, or raise the bounds"
            )

    def _check_disk(self) -> None:
        if time.monotonic() < self._disk_known_until:
            return
        disk = os.statvfs(self.folder)
        free = disk.f_bavail * disk.f_frsize
        if free < self.bounds.free_disk:
            raise OutboxFull(
                f"only {free} bytes are free on the disk of {self.path}, and {self.bounds.free_disk} are kept free. "
                "Nothing was stored. Free some space"
            )
        self._disk_known_until = time.monotonic() + DISK_SECONDS


def outbox_path(folder: Path, agency: str, portal: str) -> Path:
    """The outbox file of a source."""
    return folder / f"{agency}.{portal}.outbox"


def _check_reported(connection: sqlite3.Connection) -> None:
    (damaged,) = connection.execute("select damaged from delivery").fetchone()
    if damaged:
        raise OutboxDamaged(damaged)


def _by_id(connection: sqlite3.Connection, event_id: bytes) -> StoredEvent | None:
    found = stored_events(connection.execute(SELECT_EVENTS + " where event_id = ?", (event_id,)))
    return found[0] if found else None


def _one_by_one(rows: Iterator[tuple[object, ...]]) -> Iterator[StoredEvent]:
    for row in rows:
        yield from stored_events([row])


def _event(draft: Draft, row: SourceRow, now: int) -> StoredEvent:
    return StoredEvent(
        row.last_sequence,
        draft.id_bytes,
        draft.event_type,
        draft.schema_version,
        draft.key,
        draft.occurred_at,
        now,
        draft.traceparent,
        draft.content_hash,
        draft.body(row.epoch, row.last_sequence, now),
    )


def insert_events(connection: sqlite3.Connection, events: Sequence[StoredEvent]) -> None:
    """Stores events with their checksums."""
    # Many rows a statement: each one lets other threads run, and they may not hand back at once.
    for start in range(0, len(events), _INSERT_ROWS):
        some = events[start : start + _INSERT_ROWS]
        values: list[object] = []
        for event in some:
            values += event
            values.append(event.checksum)
        connection.execute(INSERT_EVENTS + ",".join([_PLACES] * len(some)), values)


def _id_reused() -> EventRefused:
    from portalbus.schemas.findings import Finding

    return EventRefused([Finding("event.id-reused", "/envelope/id")])
