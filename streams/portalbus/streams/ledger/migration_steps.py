"""One step of a migration, forward or back: a transaction that keeps nobody waiting behind somebody else's query.

Whoever waits for a table's lock makes everybody wait who comes after. So a step waits for a moment only, gives up all
that it has, lets the others through, and tries again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog
from psycopg import Connection

from portalbus.schemas.errors import PortalbusError
from portalbus.streams.ledger.table_locks import TABLES_HELD, give_way_soon

log = structlog.get_logger(__name__)

PAUSE_SECONDS = 2.0
"""Longer than the lock is waited for: the bus goes on for most of the time."""
PATIENCE_SECONDS = 300.0

LONGEST_OPEN = """
select application_name || ' (process ' || pid || ', ' || round(extract(epoch from now() - xact_start)) || ' s)'
from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null
order by xact_start limit 3"""


class MigrationBlocked(PortalbusError):
    """Other transactions held tables that a migration changes, for as long as it may wait; nothing was changed."""


def take_step(
    connection: Connection[Any],
    name: str,
    work: Callable[[], object],
    *,
    patience: float = PATIENCE_SECONDS,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Does `work` in a transaction, again and again until it gets every lock at once. Raises MigrationBlocked."""
    deadline = time.monotonic() + patience
    while True:
        try:
            with connection.transaction():
                give_way_soon(connection)
                work()
            return
        except TABLES_HELD:
            open_ones = [one for (one,) in connection.execute(LONGEST_OPEN)]
            log.warning("migration.lock-not-free", migration=name, longest_open=open_ones)
            if time.monotonic() > deadline:
                raise MigrationBlocked(
                    f"{name} cannot have its tables: end the transactions that are open longest"
                    f" ({', '.join(open_ones) or 'none is open now'}), then do it again; nothing was changed"
                ) from None
            pause(PAUSE_SECONDS)
