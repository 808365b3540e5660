"""MySQL and MariaDB: a read-only transaction and results that are not buffered."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pymysql
from pymysql.constants import ER
from pymysql.cursors import SSCursor

from portalbus.connectors.pull.kind import ReadFailed
from portalbus.connectors.pull.sql_view.database import FETCH_ROWS, too_slow
from portalbus.connectors.pull.sql_view.settings import SqlViewConfig

GRANT = re.compile(r"GRANT (?P<rights>.+?) ON (?P<where>\S+) TO ", re.IGNORECASE)
COLUMNS_IN_GRANT = re.compile(r"\([^)]*\)")
READING_RIGHTS = frozenset(
    {"USAGE", "SELECT", "SHOW VIEW", "SHOW DATABASES", "REFERENCES", "EXECUTE", "PROCESS", "LOCK TABLES"}
    | {"CREATE TEMPORARY TABLES", "SLAVE MONITOR", "REPLICATION CLIENT", "BINLOG MONITOR"}
)
"""Rights that change nothing that the portal keeps."""
TOO_SLOW = (1969, 3024, ER.QUERY_INTERRUPTED)
"""MariaDB's and MySQL's words for a statement that took too long."""
KILL_SECONDS = 5
"""So long may it take to have a statement ended that did not answer."""
TELLING = frozenset(
    {ER.ACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR, ER.TABLEACCESS_DENIED_ERROR, ER.COLUMNACCESS_DENIED_ERROR}
    | {ER.BAD_DB_ERROR, ER.NO_SUCH_TABLE, ER.BAD_FIELD_ERROR, ER.VIEW_INVALID, 1698, 2003, 2013, 2026}
)
"""Errors whose own words hold no row's values."""


class MySqlView:
    """One session with a MySQL or MariaDB server."""

    def __init__(self, config: SqlViewConfig, password: str) -> None:
        self._config = config
        self._view = ".".join(map(_quoted, config.view.split(".")))
        self._login: dict[str, Any] = {
            "host": config.parts.hostname,
            "port": config.port,
            "user": config.user,
            "password": password.encode(),  # else the library takes it for Latin 1, and refuses most of Vietnamese
            "database": config.database,
            "charset": "utf8mb4",
            "local_infile": False,
            **_tls(config),
        }
        try:
            self._connection = pymysql.connect(
                **self._login,
                cursorclass=SSCursor,
                connect_timeout=int(config.connect_timeout),
                read_timeout=config.timeout,
                write_timeout=config.timeout,
            )
        except (pymysql.Error, OSError) as error:
            mend = "Look at address, user, password and tls"
            raise ReadFailed(config.place, _words(error) or "no connection", mend) from None
        with self._errors():
            self._limit_statements()
            self._run("set session net_write_timeout = 600")
            self._run("set session transaction isolation level repeatable read")
            self._run("start transaction with consistent snapshot, read only")

    def writable(self) -> list[str]:
        """What this user may write to, by its own rights and those of the role it has now."""
        with self._errors():
            grants = [str(row[0]) for row in self._run("show grants")]
        found = []
        for line in grants:
            grant = GRANT.match(line)
            if grant is None:
                continue
            rights = {right.strip().upper() for right in COLUMNS_IN_GRANT.sub("", grant["rights"]).split(",")}
            if writing := sorted(rights - READING_RIGHTS):
                found.append(f"{grant['where']} ({', '.join(writing[:3])})")
        return found[:5]

    def columns(self) -> list[str]:
        """The view's columns."""
        with self._errors(), self._connection.cursor() as cursor:
            cursor.execute(f"select * from {self._view} limit 0")
            return [str(column[0]) for column in cursor.description or ()]

    def rows(
        self, columns: Sequence[str], keys: Sequence[str] = (), wanted: Sequence[Sequence[Any]] = ()
    ) -> Iterator[Sequence[Any]]:
        """The rows, as they come from the server."""
        statement = f"select {_names(columns)} from {self._view}"
        if wanted:
            row = f"({', '.join(['%s'] * len(keys))})"
            statement += f" where ({_names(keys)}) in ({', '.join([row] * len(wanted))})"
        with self._errors():
            cursor = self._connection.cursor()
            cursor.execute(statement, [value for row in wanted for value in row])
            while some := cursor.fetchmany(FETCH_ROWS):
                yield from some
            cursor.close()

    def close(self) -> None:
        """Ends the session without reading what is still on its way."""
        self._connection._force_close()  # type: ignore[attr-defined]  # close() is polite to a server that may hang

    def _limit_statements(self) -> None:
        """The server's limit counts until the last row is sent, so it is that of the pass; the socket's is `timeout`.

        MariaDB counts seconds, MySQL milliseconds, under different names.
        """
        try:
            self._run(f"set session max_statement_time = {self._config.longest:g}")
        except pymysql.Error:
            self._run(f"set session max_execution_time = {int(self._config.longest * 1_000)}")

    def _run(self, statement: str) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)
            return [tuple(row) for row in cursor.fetchall()]

    def _kill(self) -> None:
        """Ends on the server what this side no longer waits for; a server goes on with it otherwise."""
        seconds = KILL_SECONDS
        try:
            killer = pymysql.connect(
                **self._login, connect_timeout=seconds, read_timeout=seconds, write_timeout=seconds
            )
            with killer, killer.cursor() as cursor:
                cursor.execute(f"kill {self._connection.thread_id()}")  # type: ignore[no-untyped-call]
        except (pymysql.Error, OSError):
            return  # it is gone, or the server does not answer at all

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (pymysql.Error, OSError) as error:
            number = error.args[0] if error.args else 0
            if number in TOO_SLOW or "timed out" in str(error):
                self._kill()
                raise too_slow(self._config) from None
            mend = "Make the view, or change `view`" if number == ER.NO_SUCH_TABLE else ""
            raise ReadFailed(self._config.place, _words(error) or f"{type(error).__name__} ({number})", mend) from None


def _words(error: Exception) -> str:
    if isinstance(error, OSError):
        return str(error.strerror or error)
    if error.args and error.args[0] in TELLING:
        return f"{error.args[-1]} ({error.args[0]})"
    return ""


def _tls(config: SqlViewConfig) -> dict[str, Any]:
    if config.tls == "off":
        return {"ssl_disabled": True}
    if config.tls == "prefer":
        return {}
    context = ssl.create_default_context(cafile=config.tls_ca or None)
    if config.tls == "require":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return {"ssl": context}


def _quoted(name: str) -> str:
    """A name in a statement that is given parameters: a percent sign is doubled there."""
    return "`" + name.replace("`", "``").replace("%", "%%") + "`"


def _names(columns: Sequence[str]) -> str:
    return ", ".join(map(_quoted, columns))
