"""Which of several processes works: whoever has the lock. The others stand by, and end the session of a frozen one."""

from __future__ import annotations

import threading
from typing import Any

import structlog
from psycopg import Connection

from portalbus.streams.ledger.locks import AdvisoryLock

log = structlog.get_logger(__name__)

PAUSE_SECONDS = 1.0

END_SILENT_LEADER = """
select a.pid, pg_terminate_backend(a.pid) from pg_locks l join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.granted and l.database = a.datid and a.datname = current_database()
  and (l.classid::bigint << 32 | l.objid::bigint) = %s and a.state_change < now() - interval '20 seconds'"""
"""Ends the session of a leader that has not spoken for so long: it is frozen, or cut off. A leader that works asks for
news every second."""


def become_leader(connection: Connection[Any], lock: AdvisoryLock, stop: threading.Event) -> bool:
    """Waits until this session has the lock; False when it was told to stop before. In autocommit mode."""
    while not stop.is_set():
        row = connection.execute("select pg_try_advisory_lock(%s)", (lock.value,)).fetchone()
        if row and row[0]:
            return True
        for pid, _ in connection.execute(END_SILENT_LEADER, (lock.value,)):
            log.warning("leader.silent-one-ended", lock=lock.name.lower(), session=pid)
        stop.wait(PAUSE_SECONDS)
    return False
