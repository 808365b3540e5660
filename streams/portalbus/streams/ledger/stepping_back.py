"""Undoing migrations, newest first: what a version that has to be taken back needs before the one before it starts.

Each migration has a file that undoes it, `NAME.down.sql`. What the tables of before have no place for is lost; each
file says so itself, in lines of the form `-- lost WHAT: QUERY THAT COUNTS IT`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from psycopg import Connection

from portalbus.schemas.errors import PortalbusError
from portalbus.streams.ledger.database import connect, migrations, way_back
from portalbus.streams.ledger.locks import AdvisoryLock
from portalbus.streams.ledger.migration_steps import take_step

LOST = re.compile(r"^-- lost (.+?): (select .+)$", re.MULTILINE)
NUMBERED = re.compile(r"\d{4}_")
"""Names of the ledger's own migrations; those of other packages begin with a word."""

CONNECTED = """
select distinct application_name from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and application_name like 'portalbus-%'
  and application_name not like 'portalbus-sign-of-life-%'
order by 1"""


class StepBackRefused(PortalbusError):
    """Nothing was undone; the sentence says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Rows that the tables of before have no place for."""

    migration: str
    what: str
    rows: int


class RowsWouldBeLost(PortalbusError):
    """Undoing these migrations loses rows, and nobody has agreed to that; nothing was undone."""

    def __init__(self, losses: Sequence[Loss]) -> None:
        self.losses = tuple(losses)
        super().__init__("; ".join(f"{loss.migration} loses {loss.what} ({loss.rows})" for loss in losses))


@dataclass(frozen=True, slots=True)
class Migration:
    """A migration as the database and this program know it."""

    name: str
    applied_at: datetime | None
    known: bool
    """False when a newer version has applied it: only that version can undo it."""


@dataclass(frozen=True, slots=True)
class SteppedBack:
    """What was undone, newest first, and what was lost with it."""

    undone: tuple[str, ...]
    losses: tuple[Loss, ...]


def connected_processes(connection: Connection[Any]) -> list[str]:
    """The processes of the bus that are connected to this database, by the names that they give themselves."""
    return [name for (name,) in connection.execute(CONNECTED)]


def list_migrations(connection: Connection[Any], package: str = "portalbus.streams") -> list[Migration]:
    """Every migration of the ledger that the database has or this program knows, in order."""
    known = {name for name, _ in migrations(package)}
    applied = _applied(connection)
    ours = known | {name for name in applied if NUMBERED.match(name)}
    return [Migration(name, applied.get(name), name in known) for name in sorted(ours)]


def step_back(
    database_url: str, to: int, *, lose_rows: bool = False, package: str = "portalbus.streams"
) -> SteppedBack:
    """Undoes every migration with a number above `to`, newest first, each in a transaction.

    Raises StepBackRefused while a process of the bus is connected, or where this program has no way back;
    RowsWouldBeLost, unless that is agreed to; MigrationBlocked.
    """
    with connect(database_url, application="migrate", autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(%s)", (AdvisoryLock.MIGRATION.value,))
        _refuse_while_running(connection)
        steps = _way(connection, to, package)
        losses = tuple(loss for name, sql in steps for loss in _losses(connection, name, sql))
        if losses and not lose_rows:
            raise RowsWouldBeLost(losses)
        for name, sql in steps:
            take_step(connection, name, partial(_undo, connection, name, sql))
    return SteppedBack(tuple(name for name, _ in steps), losses)


def _way(connection: Connection[Any], to: int, package: str) -> list[tuple[str, str]]:
    """Name and SQL of each step back, newest first."""
    steps = []
    for one in reversed(list_migrations(connection, package)):
        if one.applied_at is None or int(one.name[:4]) <= to:
            continue
        sql = way_back(one.name, package)
        if sql is None:
            raise StepBackRefused(
                f"this version has no way back from {one.name}: use the version of portalbus that applied it"
            )
        steps.append((one.name, sql))
    return steps


def _losses(connection: Connection[Any], name: str, sql: str) -> list[Loss]:
    found = []
    for what, query in LOST.findall(sql):
        row = connection.execute(query.encode()).fetchone()
        if row and row[0]:
            found.append(Loss(name, what, row[0]))
    return found


def _refuse_while_running(connection: Connection[Any]) -> None:
    running = connected_processes(connection)
    if running:
        raise StepBackRefused(f"{', '.join(running)} is connected to the database: stop the processes of the bus first")


def _undo(connection: Connection[Any], name: str, sql: str) -> None:
    connection.execute(sql.encode())
    connection.execute("delete from public.portalbus_migration where name = %s", (name,))


def _applied(connection: Connection[Any]) -> dict[str, datetime]:
    row = connection.execute("select to_regclass('public.portalbus_migration')").fetchone()
    if row is None or row[0] is None:
        return {}
    return dict(connection.execute("select name, applied_at from public.portalbus_migration").fetchall())
