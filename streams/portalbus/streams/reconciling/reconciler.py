"""One reconciliation: find, list, heal, ask; and what comes back of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from datetime import date, datetime, timedelta
from types import TracebackType
from typing import Any, LiteralString
from uuid import UUID

from psycopg import Connection
from psycopg.errors import LockNotAvailable

from portalbus.schemas.codec import WriterSchemas
from portalbus.streams.ledger.clock import read_time
from portalbus.streams.ledger.database import KeptConnection
from portalbus.streams.ledger.locks import AdvisoryLock
from portalbus.streams.ledger.notices import send_notices
from portalbus.streams.reconciling.alerting import tell_lasting
from portalbus.streams.reconciling.comparing import difference_of
from portalbus.streams.reconciling.conversing import close_needless, hear_answers, inquire, open_inquiries
from portalbus.streams.reconciling.difference import Difference
from portalbus.streams.reconciling.digests import BucketName, Digests
from portalbus.streams.reconciling.healing import Healer
from portalbus.streams.reconciling.lane_reader import Lanes
from portalbus.streams.reconciling.reading import (
    Scope,
    read_accepted,
    read_beyond,
    read_derived,
    read_digests,
    read_misjudged,
    read_stated,
    read_unknown,
)
from portalbus.streams.reconciling.repairs import Repair, list_differences, open_repairs, repairs_since
from portalbus.streams.reconciling.searching import read_unsearchable

RUNS_KEPT = timedelta(days=30)
LAST_RUNS: LiteralString = """
select max(started_at), max(started_at) filter (where whole) from ledger.reconciliation"""
NEWS: LiteralString = """
select exists (select from ledger.bucket_contents)
    or exists (select from ledger.repair where healed_at is null and value is not null)
    or exists (select from ledger.repair r join ledger.event e using (agency, event_id)
               where r.healed_at is null and r.asked_at is not null and r.place = 'event' and r.kind = 'missing')"""
LOCK_TIMEOUT: LiteralString = "select set_config('lock_timeout', %s, false)"
AWAITED: LiteralString = """
select exists (select from pg_locks where locktype = 'advisory' and not granted
               and database = (select oid from pg_database where datname = current_database())
               and (classid::bigint << 32 | objid::bigint) = %s)"""
KEEP_RUNS: LiteralString = "delete from ledger.reconciliation where started_at < %s"
RAN: LiteralString = """
insert into ledger.reconciliation (started_at, finished_at, whole, events, buckets, differing_buckets, differences)
values (%s, %s, %s, %s, %s, %s, %s)"""


@dataclass(frozen=True, slots=True)
class Compared:
    """What a look at everything has found: sizes, and how many buckets people do not see as they were stated."""

    events: int
    buckets: int
    differing_buckets: int
    differences: int


class Reconciler:
    """Compares the central store with what the sources state, and heals it. One thread; a connection of its own.

    What is compared, asked and healed is dated by the database's clock, unless a `clock` is given: machines that
    compare in turn find from these dates what is due. `rest` is called now and then while everything is read. Raises
    psycopg.OperationalError when the database is away.
    """

    def __init__(
        self,
        database_url: str,
        writers: WriterSchemas,
        lanes: Lanes | None,
        *,
        clock: Callable[[], datetime] | None = None,
        rest: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock or self._time
        self._rest = rest
        self._writers = writers
        self._healer = Healer(writers, lanes, self._clock)
        self._kept = KeptConnection(database_url, application="reconcile")

    def __enter__(self) -> Reconciler:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection, and gives the lock back with it."""
        self._kept.close()

    def take_turn(self) -> bool:
        """True when nobody else reconciles; holds the turn until `close`."""
        row = (
            self._kept.open()
            .execute("select pg_try_advisory_lock(%s)", (AdvisoryLock.RECONCILIATION.value,))
            .fetchone()
        )
        return bool(row and row[0])

    def wait_for_turn(self, seconds: float) -> bool:
        """Takes the turn as soon as it is free, waiting for it for so long; False when it did not become free.

        A worker that compares sees that somebody waits, and gives way (`is_awaited`).
        """
        connection = self._kept.open()
        connection.execute(LOCK_TIMEOUT, (f"{max(round(seconds * 1000), 1)}ms",))
        try:
            connection.execute("select pg_advisory_lock(%s)", (AdvisoryLock.RECONCILIATION.value,))
        except LockNotAvailable:
            return False
        finally:
            if not connection.closed:
                connection.execute(LOCK_TIMEOUT, ("0",))
        return True

    def is_awaited(self) -> bool:
        """True when somebody waits for the turn."""
        row = self._kept.open().execute(AWAITED, (AdvisoryLock.RECONCILIATION.value,)).fetchone()
        return bool(row and row[0])

    def end_turn(self) -> None:
        """Lets others reconcile."""
        self._kept.open().execute("select pg_advisory_unlock(%s)", (AdvisoryLock.RECONCILIATION.value,))

    def last_runs(self) -> tuple[datetime | None, datetime | None]:
        """When the store was compared last, and when the whole of it was."""
        row = self._kept.open().execute(LAST_RUNS).fetchone()
        return (row[0], row[1]) if row else (None, None)

    def has_news(self) -> bool:
        """True when sources have answered, or sent events again."""
        row = self._kept.open().execute(NEWS).fetchone()
        return bool(row and row[0])

    def run(
        self, agencies: Sequence[str] | None = None, since: date | None = None, slice: int | None = None
    ) -> Compared:
        """Compares what is in scope (`Scope`), lists what differs, heals what can be healed, asks for the rest."""
        connection = self._kept.open()
        scope = Scope(tuple(agencies) if agencies else None, since, slice)
        started_at = self._clock()
        compared = self._compare(connection, scope)
        self._healer.heal(connection, scope.parameters()["agencies"])
        if not agencies:
            connection.execute(KEEP_RUNS, (started_at - RUNS_KEPT,))
            connection.execute(RAN, (started_at, self._clock(), since is None, *astuple(compared)))
        return compared

    def follow_up(self, agencies: Sequence[str] | None = None) -> bool:
        """Takes in what has been answered and sent again; True when nothing more is awaited."""
        connection = self._kept.open()
        names = list(agencies) if agencies else None
        with connection.transaction():
            differences, notices = hear_answers(connection, self._clock())
            list_differences(connection, differences, self._clock())
            send_notices(connection, notices)
        self._healer.heal(connection, names)
        return not open_repairs(connection, names) and open_inquiries(connection, names) == 0

    def tell_lasting(self) -> None:
        """Raises and closes the alerts about differences that last."""
        connection = self._kept.open()
        with connection.transaction():
            tell_lasting(connection, self._clock())

    def now(self) -> datetime:
        """The moment that repairs are dated with."""
        return self._clock()

    def repairs_since(self, agencies: Sequence[str] | None, moment: datetime) -> list[Repair]:
        """What is open, and what was healed since a moment."""
        return repairs_since(self._kept.open(), list(agencies) if agencies else None, moment)

    def awaited(self, agencies: Sequence[str] | None) -> str:
        """What is awaited, in words."""
        names = list(agencies) if agencies else None
        connection = self._kept.open()
        return (
            f"{open_inquiries(connection, names)} buckets to be told,"
            f" {len(open_repairs(connection, names))} differences to be healed"
        )

    def _time(self) -> datetime:
        """The database's time, as times stand in notices: to the millisecond."""
        now = read_time(self._kept.open())
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def _compare(self, connection: Connection[Any], scope: Scope) -> Compared:
        now = self._clock()
        digests = Digests(read_stated(connection, scope), read_digests(connection, scope))
        differences: list[Difference] = [*read_misjudged(connection, scope), *read_beyond(connection, scope)]
        events = 0
        with connection.transaction():  # the cursors of `read_accepted` live in it
            for event, place, row in read_accepted(connection, scope, self._rest, self._writers):
                events += 1
                difference, shown = difference_of(event, place, row)
                if difference is not None:
                    differences.append(difference)
                    bucket = BucketName(event.agency, event.portal, event.epoch, event.event_type, event.day)
                    digests.note(bucket, event.sequence, UUID(event.event_id).bytes, event.content_hash, shown)
        differences += read_unknown(connection, scope)
        differences += read_derived(connection, scope)
        differences += read_unsearchable(connection, scope, self._rest)
        with connection.transaction():
            list_differences(connection, differences, now)
            narrowed = digests.to_be_narrowed()
            close_needless(connection, scope, narrowed)
            send_notices(connection, inquire(connection, [(bucket, 1) for bucket in narrowed], now))
        return Compared(events, len(digests.stated), len(digests.differing()), len(differences))
