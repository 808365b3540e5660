"""Moves committed intents into the SDK's outbox: in order, each once, whatever is killed and whoever else moves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from portalbus.producers import logs
from portalbus.producers.delivery_lock import DeliveryLock
from portalbus.producers.draft import Draft
from portalbus.producers.intents.binding import OutboxName, check_binding
from portalbus.producers.intents.intent import IntentWriter
from portalbus.producers.intents.intent_rows import Binding, IntentRows, Refusal, Stored, WaitingIntent
from portalbus.producers.intents.intent_table import IntentTable
from portalbus.producers.outbox import Outbox
from portalbus.producers.receipt import Receipt
from portalbus.producers.stored_event import id_text
from portalbus.producers.undeliverable import read_undeliverable
from portalbus.schemas.errors import EventRefused, OutboxFull

ROWS = 200
"""Intents that are moved together."""
PRUNE_ROWS = 1_000


class _Delivered(NamedTuple):
    """How far the outbox was delivered at one moment, and how many events could not be."""

    epoch: int
    sequence: int
    stuck: int


@dataclass(slots=True)
class _Sorted:
    """What becomes of one turn's intents."""

    ready: list[tuple[WaitingIntent, Draft]] = field(default_factory=list)
    held: list[WaitingIntent] = field(default_factory=list)
    refused: dict[str, Refusal] = field(default_factory=dict)
    stored: list[Stored] = field(default_factory=list)
    full: OutboxFull | None = None


class Mover:
    """Moves the intents of one table into one outbox, and writes down what became of them.

    An intent is first stored in the outbox and then marked in the database. A process that dies in between leaves it
    waiting, and the next one gets the first receipt for it: the outbox knows its id. So nothing depends on one mover
    being alone; a lock beside the outbox saves them the work of doing the same.
    """

    def __init__(self, table: IntentTable, outbox: Outbox) -> None:
        self._table = table
        self._outbox = outbox
        self._writer = IntentWriter(table.agency, table.portal)
        self._name = OutboxName(outbox)
        self._alone = DeliveryLock(outbox.path.with_suffix(".moving"))
        self._settled: _Delivered | None = None
        self._settling: _Delivered | None = None
        self._after = 0

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """A context in which no other process moves; False when another one does."""
        self._outbox.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        alone = self._alone.acquire()
        try:
            yield alone
        finally:
            if alone:
                self._alone.release()

    def check(self) -> None:
        """Binds the intents to this outbox. Raises OutboxUnavailable or OutboxDamaged when they may not go to it."""
        with self._table.turn() as rows:
            self._bind(rows)

    def move(self) -> int:
        """Moves the next intents; returns how many rows it dealt with.

        Raises OutboxFull, OutboxDamaged or OutboxUnavailable; what was moved before is kept.
        """
        with self._table.reading() as rows:
            waiting = rows.waiting(ROWS)
            parked = rows.parked_keys() if waiting else set()
            binding = rows.binding()
        if not waiting:
            return 0
        check_binding(binding, self._name, self._outbox.source_row())
        batch = self._sorted(waiting, parked)
        # Outside of any transaction: the portal, on SQLite above all, is not to wait for this disk.
        self._store(batch)
        self._mark(batch)
        for refused in batch.refused.values():
            logs.warning(logs.INTENT_PARKED, source=self._table.source, intent=refused.id)
        if batch.full is not None:
            raise batch.full
        return len(waiting)

    def settle(self) -> bool:
        """Writes down which intents the broker has by now, so many at most; True when there may be more."""
        row = self._outbox.source_row()
        if self._settling is None:
            stuck = self._outbox.stuck_between(1, row.delivered_sequence)
            now = _Delivered(row.epoch, row.delivered_sequence, stuck)
            if now == self._settled:
                return False
            self._settling, self._after = now, 0
        with self._table.turn() as rows:
            self._bind(rows)
            more = self._finish(rows, self._settling)
        if not more:
            self._settled, self._settling = self._settling, None
        return more

    def prune(self, before: int) -> int:
        """Deletes some of the intents that were done before a time; returns how many."""
        with self._table.turn() as rows:
            return rows.prune(before, PRUNE_ROWS)

    def _bind(self, rows: IntentRows) -> Binding:
        row = self._outbox.source_row()
        binding = rows.binding()
        check_binding(binding, self._name, row)
        if not binding.outbox or binding.epoch < row.epoch:
            binding = Binding(str(self._name), self._name.place, row.epoch, row.last_sequence)
            rows.bind(binding)
            rows.move_again(row.epoch)
        return binding

    def _sorted(self, waiting: list[WaitingIntent], parked: set[str]) -> _Sorted:
        batch = _Sorted()
        for intent in waiting:
            if intent.event_key in parked or intent.event_key in batch.refused:
                batch.held.append(intent)
                continue
            try:
                draft = self._writer.draft(intent.event_id, intent.event_key, intent.body)
            except Exception as error:  # whatever one row does to the reading, the others flow
                batch.refused[intent.event_key] = Refusal(intent.id, _reason(error))
            else:
                batch.ready.append((intent, draft))
        return batch

    def _mark(self, batch: _Sorted) -> None:
        with self._table.turn() as rows:
            binding = self._bind(rows)
            rows.park(batch.refused.values())
            # A key that was released in the meantime is not held: nobody would release it again.
            parked = rows.parked_keys() if batch.held else set()
            rows.hold(intent.id for intent in batch.held if intent.event_key in parked)
            if not batch.stored:
                return
            rows.store(batch.stored)
            highest = max((one.epoch, one.sequence) for one in batch.stored)
            if highest > (binding.epoch, binding.sequence):
                rows.bind(binding._replace(epoch=highest[0], sequence=highest[1]))
        self._settled = None  # what a killed process had stored may be delivered already

    def _store(self, batch: _Sorted) -> None:
        try:
            receipts = self._outbox.append([draft for _, draft in batch.ready]) if batch.ready else []
        except (EventRefused, OutboxFull):
            self._store_singly(batch)
            return
        batch.stored = [_stored(intent, receipt) for (intent, _), receipt in zip(batch.ready, receipts, strict=True)]

    def _store_singly(self, batch: _Sorted) -> None:
        """One of them is refused, or not all of them fit: the others are not to suffer from it."""
        for intent, draft in batch.ready:
            if intent.event_key in batch.refused:
                batch.held.append(intent)
                continue
            try:
                (receipt,) = self._outbox.append([draft])
            except OutboxFull as full:
                batch.full = full
                return
            except EventRefused as error:
                known = self._moved_before(draft)
                if known is None:
                    batch.refused[intent.event_key] = Refusal(intent.id, _reason(error))
                    continue
                receipt = known
            batch.stored.append(_stored(intent, receipt))

    def _moved_before(self, draft: Draft) -> Receipt | None:
        """The receipt of this very intent, when an earlier release of the SDK moved it and encoded it otherwise."""
        event = self._outbox.event(id_text(draft.id_bytes))
        same = (draft.event_type, draft.key, draft.occurred_at)
        if event is None or (event.event_type, event.key, event.occurred_at) != same:
            return None
        return Receipt(draft.event_id, event.sequence, self._outbox.source_row().epoch, event.key)

    def _finish(self, rows: IntentRows, delivered: _Delivered) -> bool:
        undelivered = {one.sequence for one in read_undeliverable(self._outbox)} if delivered.stuck else set()
        found = rows.stored_up_to(delivered.epoch, delivered.sequence, self._after, ROWS)
        rows.finish([number for number, sequence in found if sequence not in undelivered])
        self._after = found[-1][0] if found else 0
        return len(found) == ROWS


def _stored(intent: WaitingIntent, receipt: Receipt) -> Stored:
    return Stored(intent.id, receipt.epoch, receipt.sequence)


def _reason(error: Exception) -> str:
    if isinstance(error, EventRefused):
        return str(error)
    return f"{type(error).__name__} while it was read"
