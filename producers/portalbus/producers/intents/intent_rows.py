"""The intents of one source in one open transaction: every statement that reads or changes them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from portalbus.producers.intents.statements import Statements


class WaitingIntent(NamedTuple):
    """A committed intent that was not moved yet; `id` gives the order of its key."""

    id: int
    event_id: str
    event_key: str
    body: bytes


class Stored(NamedTuple):
    """An intent has got its place in the SDK's outbox."""

    id: int
    epoch: int
    sequence: int


class Refusal(NamedTuple):
    """An intent cannot be moved, for this reason."""

    id: int
    reason: str


class Binding(NamedTuple):
    """Which outbox of the SDK the intents go to, '' before the first, and the highest place that it gave so far.

    `place` tells people where it lies.
    """

    outbox: str
    place: str
    epoch: int
    sequence: int


class IntentRows:
    """The rows of one source, in an open transaction."""

    def __init__(self, statements: Statements, names: Mapping[str, str], source: str) -> None:
        self.source = source
        self._statements = statements
        self._names = names
        self._now = time.time_ns() // 1_000_000

    def lock(self) -> None:
        """Waits until nobody else changes these rows, and keeps others waiting until the transaction ends.

        An update, not `for update`: it takes the row's lock in PostgreSQL and MySQL and the write lock in SQLite.
        """
        self._run("update {relays} set turns = turns + 1 where source = :source")

    def binding(self) -> Binding:
        """Which outbox the intents go to."""
        found = self._statements.rows(
            self._sql("select outbox, place, epoch, sequence from {relays} where source = :source"), source=self.source
        )
        return Binding(*found[0]) if found else Binding("", "", 0, 0)

    def bind(self, binding: Binding) -> None:
        """Remembers which outbox the intents go to, and how far it got."""
        self._run(
            "update {relays} set outbox = :outbox, place = :place, epoch = :epoch, sequence = :sequence"
            " where source = :source",
            **binding._asdict(),
        )

    def waiting(self, rows: int) -> list[WaitingIntent]:
        """The next intents. By their state, never by the highest id seen: a lower one may commit later."""
        found = self._statements.rows(
            self._sql(
                "select id, event_id, event_key, body from {intents}"
                " where source = :source and state = 'waiting' order by id limit :rows"
            ),
            source=self.source,
            rows=rows,
        )
        return [WaitingIntent(number, event_id, key, bytes(body)) for number, event_id, key, body in found]

    def parked_keys(self) -> set[str]:
        """Keys whose intents wait for a decision; compared here, since the database may not mind the case."""
        found = self._statements.rows(
            self._sql("select distinct event_key from {intents} where source = :source and state = 'parked'"),
            source=self.source,
        )
        return {key for (key,) in found}

    def store(self, stored: Iterable[Stored]) -> None:
        """Writes down which intents the SDK's outbox has."""
        self._statements.run_many(
            self._sql(
                "update {intents} set state = 'stored', epoch = :epoch, sequence = :sequence, changed_at = :now"
                " where id = :id"
            ),
            [{**one._asdict(), "now": self._now} for one in stored],
        )

    def park(self, refused: Iterable[Refusal]) -> None:
        """Sets intents aside for a person."""
        self._statements.run_many(
            self._sql("update {intents} set state = 'parked', reason = :reason, changed_at = :now where id = :id"),
            [{**one._asdict(), "now": self._now} for one in refused],
        )

    def hold(self, ids: Iterable[int]) -> None:
        """Sets intents aside until the parked one of their key is decided about."""
        self._statements.run_many(
            self._sql("update {intents} set state = 'held', changed_at = :now where id = :id"),
            [{"id": number, "now": self._now} for number in ids],
        )

    def release(self, key: str) -> int:
        """Lets the parked and held intents of a key wait again; returns how many."""
        return self._run(
            "update {intents} set state = 'waiting', reason = null, changed_at = :now"
            " where source = :source and state in ('parked', 'held') and event_key = :key",
            key=key,
            now=self._now,
        )

    def discard(self, event_id: str) -> bool:
        """Gives up a parked intent and releases its key; False when there is none."""
        found = self._statements.rows(
            self._sql(
                "select event_key from {intents} where source = :source and state = 'parked' and event_id = :event_id"
            ),
            source=self.source,
            event_id=event_id,
        )
        for (key,) in found:
            self._run(
                "update {intents} set state = 'done', verdict = 'DISCARDED', changed_at = :now"
                " where source = :source and event_id = :event_id",
                event_id=event_id,
                now=self._now,
            )
            self.release(key)
        return bool(found)

    def move_again(self, epoch: int) -> int:
        """Lets intents wait again that were stored in an older epoch, and of which nobody knows what became."""
        return self._run(
            "update {intents} set state = 'waiting', changed_at = :now"
            " where source = :source and state = 'stored' and epoch < :epoch",
            epoch=epoch,
            now=self._now,
        )

    def stored_up_to(self, epoch: int, sequence: int, after: int, rows: int) -> list[tuple[int, int]]:
        """Id and sequence of stored intents up to a sequence of an epoch, by id."""
        found = self._statements.rows(
            self._sql(
                "select id, sequence from {intents} where source = :source and state = 'stored' and id > :after"
                " and epoch = :epoch and sequence <= :sequence order by id limit :rows"
            ),
            source=self.source,
            epoch=epoch,
            sequence=sequence,
            after=after,
            rows=rows,
        )
        return [(number, place) for number, place in found]

    def finish(self, ids: Iterable[int]) -> None:
        """Writes down that nothing is left to do for intents: the broker has them."""
        self._statements.run_many(
            self._sql("update {intents} set state = 'done', changed_at = :now where id = :id"),
            [{"id": number, "now": self._now} for number in ids],
        )

    def prune(self, before: int, rows: int) -> int:
        """Deletes intents that were done before a time, so many at most; returns how many."""
        done = "source = :source and state = 'done' and changed_at < :before"
        found = self._statements.rows(
            self._sql("select id from {intents} where " + done + " order by id limit :rows"),
            source=self.source,
            before=before,
            rows=rows,
        )
        if not found:
            return 0
        return self._run("delete from {intents} where " + done + " and id <= :last", before=before, last=found[-1][0])

    def _run(self, statement: str, **values: object) -> int:
        return self._statements.run(self._sql(statement), source=self.source, **values)

    def _sql(self, statement: str) -> str:
        return statement.format(**self._names)
