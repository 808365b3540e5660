"""The portal's two tables, as the relay and the operator see them.

`portalbus_outbox` holds intents: waiting → stored (the SDK's outbox has it) → done (the broker has it). One that cannot
be moved is parked, and later ones of its key are held. `portalbus_relay` has one row for each source: whoever changes a
state holds its lock, and it remembers which outbox the intents go to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from portalbus.producers.intents.intent_rows import IntentRows
from portalbus.producers.intents.statements import MYSQL, Transactions
from portalbus.schemas.models import Verdict, VerdictStatus

LISTED = 1_000


@dataclass(frozen=True, slots=True)
class ParkedIntent:
    """An intent that could not be moved, with the rule and how to mend it; `held` intents wait behind it."""

    event_id: str
    event_type: str
    key: str
    reason: str
    since: datetime
    held: int


@dataclass(frozen=True, slots=True)
class IntentCounts:
    """How many intents there are of each state; `oldest_waiting` is when the oldest waiting one was committed."""

    waiting: int
    held: int
    parked: int
    stored: int
    done: int
    oldest_waiting: datetime | None


class IntentTable:
    """The intents of one source. Methods raise what the database's driver raises."""

    def __init__(
        self,
        transactions: Transactions,
        agency: str,
        portal: str,
        *,
        intents: str = "portalbus_outbox",
        relays: str = "portalbus_relay",
    ) -> None:
        """`intents` and `relays` are the tables' names as SQL writes them, with a schema where there is one."""
        self.agency, self.portal, self.source = agency, portal, f"{agency}/{portal}"
        self._transactions = transactions
        self._names = {"intents": intents, "relays": relays}
        self._known = False

    def anything_waiting(self) -> bool:
        """True when a relay has something to move. Takes no lock."""
        with self._transactions.transaction() as statements:
            found = statements.rows(
                self._sql("select id from {intents} where source = :source and state = 'waiting' limit 1"),
                source=self.source,
            )
        return bool(found)

    @contextmanager
    def reading(self) -> Iterator[IntentRows]:
        """The rows as they are now, to read from. Takes no lock."""
        with self._transactions.transaction() as statements:
            yield IntentRows(statements, self._names, self.source)

    @contextmanager
    def turn(self) -> Iterator[IntentRows]:
        """The rows in a transaction in which nobody else changes their states; waits for whoever is at it."""
        self._know_source()
        with self._transactions.transaction() as statements:
            rows = IntentRows(statements, self._names, self.source)
            rows.lock()
            yield rows

    def redrive(self, key: str) -> int:
        """Has the parked and held intents of a key moved again, in order; returns how many."""
        with self.turn() as turn:
            return turn.release(key)

    def discard(self, event_id: str) -> bool:
        """Gives up a parked intent: it is never published; those held behind it go on. False when there is none."""
        with self.turn() as turn:
            return turn.discard(event_id)

    def parked(self) -> list[ParkedIntent]:
        """The parked intents, oldest first, a thousand at most."""
        with self._transactions.transaction() as statements:
            found = statements.rows(
                self._sql(
                    "select p.event_id, p.event_type, p.event_key, p.reason, p.changed_at, (select count(*) from"
                    " {intents} h where h.source = p.source and h.state = 'held' and h.event_key = p.event_key)"
                    " from {intents} p where p.source = :source and p.state = 'parked' order by p.id limit :rows"
                ),
                source=self.source,
                rows=LISTED,
            )
        return [
            ParkedIntent(event_id, event_type, key, reason, _moment(since), held)
            for event_id, event_type, key, reason, since, held in found
        ]

    def counts(self) -> IntentCounts:
        """How many intents there are of each state."""
        with self._transactions.transaction() as statements:
            found = statements.rows(
                self._sql(
                    "select state, count(*), min(created_at) from {intents} where source = :source group by state"
                ),
                source=self.source,
            )
        count = {state: int(number) for state, number, _ in found}
        oldest = {state: _moment(least) for state, _, least in found}
        return IntentCounts(
            waiting=count.get("waiting", 0),
            held=count.get("held", 0),
            parked=count.get("parked", 0),
            stored=count.get("stored", 0),
            done=count.get("done", 0),
            oldest_waiting=oldest.get("waiting"),
        )

    def keep_verdict(self, verdict: Verdict) -> None:
        """Writes what the centre decided beside the intent; a later DUPLICATE does not hide what was said first."""
        if verdict.event_id is None:
            return
        known = " and verdict is null" if verdict.status is VerdictStatus.DUPLICATE else ""
        with self._transactions.transaction() as statements:
            statements.run(
                self._sql(
                    "update {intents} set verdict = :status, verdict_rule = :rule"
                    " where event_id = :event_id and source = :source" + known
                ),
                status=verdict.status.value,
                rule=verdict.rule,
                event_id=verdict.event_id,
                source=self.source,
            )

    def _know_source(self) -> None:
        """Makes the row whose lock is taken, if it is not there; in a transaction of its own, so that it is seen."""
        if self._known:
            return
        ignore, conflict = (" ignore", "") if self._transactions.dialect == MYSQL else ("", " on conflict do nothing")
        with self._transactions.transaction() as statements:
            known = self._sql("select 1 from {relays} where source = :source")
            if not statements.rows(known, source=self.source):
                statements.run(
                    f"insert{ignore} into {self._names['relays']} (source, outbox, place, epoch, sequence, turns)"
                    f" values (:source, '', '', 0, 0, 0){conflict}",
                    source=self.source,
                )
        self._known = True

    def _sql(self, statement: str) -> str:
        return statement.format(**self._names)


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
