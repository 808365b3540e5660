"""Putting the rebuilt tables in the place of the live ones, in one transaction, while everybody goes on.

Nobody's connection ends and nobody's prepared statement is lost: PostgreSQL looks the names up again when the tables
behind them have changed. Whoever is in the way for longer than half a second is let through first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog
from psycopg import Connection
from psycopg.sql import SQL, Identifier

from portalbus.streams.ledger.order import CHANNEL, take_position
from portalbus.streams.ledger.table_locks import TABLES_HELD, give_way_soon
from portalbus.streams.rebuilding.fold_tables import FOLD, FoldTable
from portalbus.streams.rebuilding.shadow import BEFORE, SHADOW

log = structlog.get_logger(__name__)

ATTEMPTS = 40
PAUSE_SECONDS = 0.5

CARRY_OVER = (
    f"update {SHADOW}.gap s set asked = l.asked, ask_at = l.ask_at from ledger.gap l"
    " where (l.agency, l.portal, l.epoch, l.first) = (s.agency, s.portal, s.epoch, s.first)",
    f"update {SHADOW}.parked s set decided_by = l.decided_by, decided_why = l.decided_why, decided_at = l.decided_at"
    " from ledger.parked l where l.agency = s.agency and l.lane_offset = s.lane_offset and l.decided_at is not null",
    f"update ledger.lane l set heartbeats = s.heartbeats from {SHADOW}.lane s"
    " where l.agency = s.agency and l.heartbeats <> s.heartbeats",
)
"""What is no fold of the lanes goes along; tables that stay are put right."""
NOTICES = f"""
insert into ledger.notice select * from {SHADOW}.notice s where position > %s
    and not exists (select from ledger.notice l where l.position = s.position and (l.*) is not distinct from (s.*))
on conflict (position) do update set topic = excluded.topic, key = excluded.key, record = excluded.record,
    value = excluded.value, made_at = excluded.made_at"""

OTHER_WAY = f"""
select (select next from {SHADOW}.position) > (select next from ledger.position)
    or exists (select from ledger.judgement l join {SHADOW}.judgement s using (position)
               where position > %s and (l.agency, l.lane_offset) <> (s.agency, s.lane_offset))"""
END = f"select next - 1 from {SHADOW}.position"
GRANTS = """
select privilege_type, table_name, grantee from information_schema.role_table_grants
where table_schema = 'ledger' and table_name = any(%s) and grantee <> current_user"""


HOLDERS = """
select distinct a.pid, a.application_name, a.usename, a.xact_start
from pg_locks l join pg_stat_activity a using (pid)
    join pg_class c on c.oid = l.relation join pg_namespace n on n.oid = c.relnamespace
where l.granted and l.pid <> pg_backend_pid() and n.nspname = 'ledger' and c.relname = any(%s)
    and l.database = (select oid from pg_database where datname = current_database())
    and a.xact_start < clock_timestamp() - interval '500 milliseconds'
order by a.xact_start limit 3"""
"""The sessions that have been in the way for longer than is waited for, the oldest transaction first."""


class TablesHeld(Exception):
    """Other sessions hold the ledger's tables for longer than an exchange is worth; nothing was changed."""


class OtherWay(Exception):
    """The replay did not come to the ledger's own order, so what was sent already would not fit what was rebuilt."""


def exchange(connection: Connection[Any], catch_up: Callable[[], object]) -> None:
    """Exchanges the tables; `catch_up` replays what is still missing, and is called while nobody can judge.

    `connection` is in a transaction of its own. Raises OtherWay, and TablesHeld when somebody is in the way for longer
    than a rebuild is worth; nothing has changed then.
    """
    checked = _end(connection)
    _check_and_tell(connection, 0)  # the long part is done while others judge
    connection.commit()
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _exchange(connection, catch_up, checked)
        except TABLES_HELD as error:
            connection.rollback()
            if attempt == ATTEMPTS:
                raise TablesHeld(_who_holds(connection)) from error
            log.info("rebuild.exchange-waits", attempt=attempt)
            time.sleep(PAUSE_SECONDS)
    raise AssertionError("unreachable")


def _who_holds(connection: Connection[Any]) -> str:
    names = ["position", *(table.name for table in FOLD if table.exchanged)]
    found = connection.execute(HOLDERS, (names,)).fetchall()
    connection.rollback()
    sessions = ", ".join(
        f"session {pid} ({application or 'without a name'}, user {user}, since {since:%Y-%m-%d %H:%M:%S})"
        for pid, application, user, since in found
    )
    return (
        f"the tables were not exchanged, for others hold them: {sessions or 'many short transactions in turn'}. Nothing"
        " was changed: wait for its end or end it, and start the exchange again"
    )


def _end(connection: Connection[Any]) -> int:
    row = connection.execute(END).fetchone()
    return int(row[0]) if row else 0


def _check_and_tell(connection: Connection[Any], after: int) -> None:
    """Raises OtherWay when judgements after a position stand elsewhere than the ledger's; else puts notices right."""
    row = connection.execute(OTHER_WAY, (after,)).fetchone()
    if row and row[0]:
        connection.rollback()
        raise OtherWay(
            "the replay comes to another order of judgements than the one that was sent out: nothing was exchanged"
        )
    connection.execute(NOTICES, (after,))


def _exchange(connection: Connection[Any], catch_up: Callable[[], object], checked: int) -> None:
    give_way_soon(connection)
    take_position(connection)
    catch_up()
    _check_and_tell(connection, checked)
    for statement in CARRY_OVER:
        connection.execute(statement)
    tables = [table for table in FOLD if table.exchanged]
    for privilege, name, grantee in connection.execute(GRANTS, ([table.name for table in tables],)).fetchall():
        whom = SQL("public") if grantee == "PUBLIC" else Identifier(grantee)
        connection.execute(SQL("grant {} on {} to {}").format(SQL(privilege), Identifier(SHADOW, name), whom))
    connection.execute(f"create schema {BEFORE}")
    for table in tables:
        _move(connection, table, "ledger", BEFORE)
        _move(connection, table, SHADOW, "ledger")
    connection.execute("select pg_notify(%s, '')", (CHANNEL,))
    connection.commit()


def _move(connection: Connection[Any], table: FoldTable, schema: str, to: str) -> None:
    connection.execute(f'alter table {schema}."{table.name}" set schema {to}')
