"""PostgreSQL: a read-only transaction and a cursor on the server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from portalbus.connectors.pull.kind import ReadFailed
from portalbus.connectors.pull.sql_view.database import FETCH_ROWS, too_slow
from portalbus.connectors.pull.sql_view.settings import SqlViewConfig

SSL_MODES = {"off": "disable", "prefer": "prefer", "require": "require", "verify": "verify-full"}
KEEPALIVE: Mapping[str, Any] = {
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 50_000,
}
"""A server that vanished without a word is noticed within a minute."""

# A superuser may do anything, an owner may alter. The right to make tables in `public`, which every user has
# before PostgreSQL 15, is no right to change what the portal keeps.
MAY_WRITE = """
    select what from (
        select 'everything (superuser)' as what, 0 as rank from pg_roles where rolname = current_user and rolsuper
        union all
        select format('%I.%I', n.nspname, c.relname), 1
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'v', 'm', 'f')
          and n.nspname <> 'information_schema' and n.nspname not like 'pg\\_%'
          and (has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
               or has_any_column_privilege(c.oid, 'INSERT, UPDATE'))
    ) as found order by rank, what limit 5
"""
TELLING = ("08", "28", "3D", "42", "53", "57", "0A")
"""Classes of errors whose own words hold no row's values."""


class PostgreSqlView:
    """One session with a PostgreSQL server."""

    def __init__(self, config: SqlViewConfig, password: str) -> None:
        self._config = config
        self._view = sql.Identifier(*config.view.split("."))
        limit = int(config.timeout * 1_000)
        more: dict[str, Any] = {**KEEPALIVE, **({"sslrootcert": config.tls_ca} if config.tls_ca else {})}
        try:
            self._connection = psycopg.connect(
                host=config.parts.hostname,
                port=config.port,
                dbname=config.database,
                user=config.user,
                password=password,
                sslmode=SSL_MODES[config.tls],
                connect_timeout=max(int(config.connect_timeout), 2),
                application_name="portalbus-connect",
                client_encoding="utf-8",
                options=f"-c default_transaction_read_only=on -c statement_timeout={limit} -c lock_timeout={limit}",
                **more,
            )
        except psycopg.Error as error:
            words = str(error).strip().splitlines()[-1:] or [type(error).__name__]
            raise ReadFailed(config.place, words[0], "Look at address, user, password and tls") from None
        self._connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        self._connection.read_only = True

    def writable(self) -> list[str]:
        """What this user may write to."""
        with self._errors():
            return [str(row[0]) for row in self._connection.execute(MAY_WRITE)]

    def columns(self) -> list[str]:
        """The view's columns."""
        with self._errors():
            described = self._connection.execute(sql.SQL("select * from {} limit 0").format(self._view)).description
        return [column.name for column in described or ()]

    def rows(
        self, columns: Sequence[str], keys: Sequence[str] = (), wanted: Sequence[Sequence[Any]] = ()
    ) -> Iterator[Sequence[Any]]:
        """The rows, from a cursor on the server."""
        statement = sql.SQL("select {} from {}").format(_names(columns), self._view)
        if wanted:
            row = sql.SQL("({})").format(sql.SQL(", ").join([sql.Placeholder()] * len(keys)))
            among = sql.SQL(", ").join([row] * len(wanted))
            statement += sql.SQL(" where ({}) in ({})").format(_names(keys), among)
        with self._errors(), self._connection.cursor("portalbus") as cursor:
            cursor.itersize = FETCH_ROWS
            cursor.execute(statement, [value for row in wanted for value in row])
            yield from cursor

    def close(self) -> None:
        """Ends the session."""
        self._connection.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except psycopg.errors.QueryCanceled:
            raise too_slow(self._config) from None
        except psycopg.Error as error:
            state = error.sqlstate or ""
            words = error.diag.message_primary if state.startswith(TELLING) else None
            said = words or (type(error).__name__ if state else "the connection was lost")
            raise ReadFailed(
                self._config.place, said + (f" (SQLSTATE {state})" if state else ""), _mend(state)
            ) from None


def _names(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _mend(state: str) -> str:
    return {
        "42P01": "Make the view, or change `view`",
        "42501": "Grant the user: grant usage on its schema, and grant select on the view",
    }.get(state, "")
