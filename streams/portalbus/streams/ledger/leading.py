"""Which of several processes works: whoever has the lock. The others stand by, and end the session of a frozen one.

A leader may be busy for minutes without a word to the database: it waits for Kafka, or for one long statement. So a
thread of its own gives a sign of life on a connection of its own. A process that is frozen, gone or cut off gives none.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import psycopg
import structlog
from psycopg import Connection

from portalbus.streams.ledger.database import connect
from portalbus.streams.ledger.locks import AdvisoryLock

log = structlog.get_logger(__name__)

PAUSE_SECONDS = 1.0
SIGN_EVERY_SECONDS = 2.0
SILENT_AFTER = timedelta(seconds=20)
"""A leader of whom nothing was heard for so long is frozen, or cut off."""

TRY = """
select exists (select 1 from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()
               and (classid::bigint << 32 | objid::bigint) = %(lock)s) or pg_try_advisory_lock(%(lock)s)"""
END_SILENT_LEADER = """
select a.pid, pg_terminate_backend(a.pid) from pg_locks l join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.granted and l.database = a.datid and a.datname = current_database()
  and (l.classid::bigint << 32 | l.objid::bigint) = %(lock)s and a.state_change < now() - %(silent)s
  and not exists (select from pg_stat_activity sign where sign.application_name = 'portalbus-sign-of-life-' || a.pid
                  and sign.state_change >= now() - %(silent)s)"""


def try_to_lead(connection: Connection[Any], lock: AdvisoryLock) -> bool:
    """True when this session has the lock, from before or from now on. In autocommit mode."""
    row = connection.execute(TRY, {"lock": lock.value}).fetchone()
    return bool(row and row[0])


def end_silent_leader(connection: Connection[Any], lock: AdvisoryLock, silent: timedelta = SILENT_AFTER) -> None:
    """Ends the session of a leader of whom nothing was heard for so long."""
    for pid, _ in connection.execute(END_SILENT_LEADER, {"lock": lock.value, "silent": silent}):
        log.warning("leader.silent-one-ended", lock=lock.name.lower(), session=pid)


@contextmanager
def leading(
    connection: Connection[Any],
    lock: AdvisoryLock,
    stop: threading.Event,
    database_url: str,
    silent: timedelta = SILENT_AFTER,
) -> Iterator[bool]:
    """Waits until this session has the lock, and gives a sign of life while it leads; False when told to stop before.

    In autocommit mode.
    """
    while not try_to_lead(connection, lock):
        end_silent_leader(connection, lock, silent)
        if stop.wait(PAUSE_SECONDS):
            yield False
            return
    ended = threading.Event()
    thread = threading.Thread(
        target=_give_signs, args=(database_url, connection.info.backend_pid, ended), name="sign-of-life", daemon=True
    )
    thread.start()
    try:
        yield True
    finally:
        ended.set()
        thread.join(PAUSE_SECONDS)


def _give_signs(database_url: str, pid: int, ended: threading.Event) -> None:
    """Until the leader ends. A sign that cannot be given is no reason to stop: the next one may be."""
    while not ended.is_set():
        with suppress(psycopg.Error), connect(database_url, application=f"sign-of-life-{pid}", autocommit=True) as sign:
            while not ended.is_set():
                sign.execute("select")
                ended.wait(SIGN_EVERY_SECONDS)
        ended.wait(PAUSE_SECONDS)
