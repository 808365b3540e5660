"""Connections to the ledger, and its numbered migrations; back again: `stepping_back`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from importlib.resources import files
from typing import Any, TypeVar

import psycopg
import structlog
from psycopg import Connection
from psycopg.errors import IdleInTransactionSessionTimeout, LockNotAvailable, ProgramLimitExceeded
from psycopg.rows import TupleRow

from portalbus.streams.ledger.locks import AdvisoryLock
from portalbus.streams.ledger.migration_steps import take_step

log = structlog.get_logger(__name__)

T = TypeVar("T")


FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0

BY_KEY = "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off"
"""For processes that look rows up by key and do nothing else. Their statements are prepared once, perhaps while the
tables are empty, where a sequential scan looks cheapest; the plan is kept while they grow. So it is not offered."""

BOUNDED = "-c lock_timeout=10s -c statement_timeout=120s"
"""No statement of a process that runs for long waits without an end, whoever holds what it needs."""

WORKER_OPTIONS = f"-c idle_in_transaction_session_timeout=10s {BOUNDED} {BY_KEY}"

LIVELY: Mapping[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
"""A server that is gone without a word is noticed within 25 s: by keepalives while an answer is awaited, by the last of
these while what was sent is not acknowledged, which the kernel would otherwise send again for a quarter of an hour."""

END_SILENT_WORKERS = """
select pid, pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and usename = current_user and application_name = 'portalbus-worker'
  and pid <> pg_backend_pid() and wait_event = 'ClientRead' and xact_start < now() - interval '8 seconds'"""
"""Ends who holds a transaction open and says nothing. A worker that was frozen in the middle of a COPY would hold the
ledger for ever: while the server waits for the rest of a COPY, none of its own timeouts ends the session."""


class CalledOff(Exception):
    """A database that is away is waited for no longer: the process ends. What was begun is left as it was."""


class KeptConnection:
    """A connection that is opened when it is first wanted, and anew after it was lost or closed. For one thread."""

    def __init__(self, database_url: str, *, application: str, options: str = "", autocommit: bool = True) -> None:
        self._url = database_url
        self._application = application
        self._options = options
        self._autocommit = autocommit
        self._connection: Connection[Any] | None = None

    def open(self) -> Connection[Any]:
        """The connection. Raises psycopg.Error when the database is away."""
        if self._connection is None or self._connection.closed:
            self._connection = connect(
                self._url, application=self._application, options=self._options, autocommit=self._autocommit
            )
        return self._connection

    def close(self) -> None:
        """Closes it, if it is open."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Session:
    """A connection that comes back: a database that is away is waited for, for ever, with growing pauses.

    A `pause` may raise CalledOff instead, which ends the wait. Not thread-safe: one thread calls it. What is done in
    `transact` may be done again after a lost connection, so it has to be right the second time too.
    """

    def __init__(
        self,
        database_url: str,
        *,
        application: str,
        options: str = "",
        autocommit: bool = False,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url = database_url
        self._application = application
        self._autocommit = autocommit
        self._pause = pause
        self._kept = KeptConnection(database_url, application=application, options=options, autocommit=autocommit)

    def transact(self, work: Callable[[Connection[Any]], T]) -> T:
        """Runs `work` in a transaction (or without one in autocommit mode) and returns what it returns."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                return self._once(work)
            except ProgramLimitExceeded:
                raise  # psycopg counts it among the operational errors, but it would come again for ever
            except (psycopg.OperationalError, IdleInTransactionSessionTimeout) as error:
                log.warning(
                    "database.away",
                    application=self._application,
                    error=type(error).__name__,
                    sqlstate=error.sqlstate,
                    retry_in_s=pause,
                )
                self.close()
                if isinstance(error, LockNotAvailable):
                    self._end_silent_workers()
                self._pause(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def close(self) -> None:
        """Closes the connection; the next call opens another one."""
        self._kept.close()

    def _end_silent_workers(self) -> None:
        try:
            with connect(self._url, application=self._application, autocommit=True) as connection:
                ended = [pid for pid, _ in connection.execute(END_SILENT_WORKERS)]
        except psycopg.Error as error:
            log.warning("database.silent-workers-not-ended", error=type(error).__name__, sqlstate=error.sqlstate)
        else:
            log.warning("database.lock-not-free", silent_workers_ended=ended)

    def _once(self, work: Callable[[Connection[Any]], T]) -> T:
        connection = self._kept.open()
        return work(connection) if self._autocommit else _in_transaction(connection, work)


def _in_transaction(connection: Connection[Any], work: Callable[[Connection[Any]], T]) -> T:
    """The transaction begins with the first statement of `work`, in the same round trip."""
    try:
        found = work(connection)
    except BaseException:
        with suppress(psycopg.Error):  # a connection that is gone has rolled back
            connection.rollback()
        raise
    connection.commit()
    return found


def connect(
    database_url: str, *, application: str, options: str = "", autocommit: bool = False
) -> Connection[TupleRow]:
    """A connection that names itself. Raises psycopg.OperationalError when the database is away.

    It speaks UTC whatever the server's time zone is: the last moment of the year 9999, which a sender may well claim,
    is in the year 10000 further east, and Python has no such year.
    """
    return psycopg.connect(
        database_url,
        application_name=f"portalbus-{application}",
        options=f"-c timezone=UTC {options}",
        autocommit=autocommit,
        **LIVELY,
    )


def migrate(database_url: str, package: str = "portalbus.streams", *, to: str | None = None) -> list[str]:
    """Applies a package's migrations that are not in the database yet, each in a transaction; returns their names.

    `to` names the last one; without it, all. The bus may go on meanwhile. Raises MigrationBlocked.
    """
    applied: list[str] = []
    with connect(database_url, application="migrate", autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(%s)", (AdvisoryLock.MIGRATION.value,))
        connection.execute(
            "create table if not exists public.portalbus_migration"
            " (name text primary key, applied_at timestamptz not null default now())"
        )
        done = {row[0] for row in connection.execute("select name from public.portalbus_migration")}
        for name, sql in migrations(package):
            if name not in done and (to is None or name <= to):
                take_step(connection, name, partial(_apply, connection, name, sql))
                applied.append(name)
    return applied


def _apply(connection: Connection[Any], name: str, sql: bytes) -> None:
    connection.execute(sql)
    connection.execute("insert into public.portalbus_migration (name) values (%s)", (name,))


BACK = ".down.sql"


def migrations(package: str = "portalbus.streams") -> list[tuple[str, bytes]]:
    """Name and SQL of every migration of a package, in order. Names are unique among all packages."""
    folder = files(package).joinpath("migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(name.removesuffix(".sql"), folder.joinpath(name).read_bytes()) for name in names if BACK not in name]


def way_back(name: str, package: str = "portalbus.streams") -> str | None:
    """The SQL that undoes a migration; None when the package has none."""
    file = files(package).joinpath("migrations").joinpath(name + BACK)
    return file.read_text(encoding="utf-8") if file.is_file() else None
