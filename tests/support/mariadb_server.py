"""A private MariaDB for the whole session: its own data folder, socket and port, and nothing of the machine's own."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pymysql
import pytest

from central_process import free_port

PATH = f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin{os.pathsep}/usr/local/sbin"
START_SECONDS = 30.0
ANY_USER = "@'127.0.0.1'"


@dataclass(frozen=True)
class MariaDbAccount:
    """A database and one who may log in to it."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str

    @property
    def url(self) -> str:
        """As `mysql://user:password@host:port/database`; SQLAlchemy wants `mysql+pymysql` in its place."""
        return f"mysql://{self.user}:{self.password}@{self.host}:{self.port}/{self.database}"


class MariaDbServer:
    """One mariadbd in `folder`; started again after `kill()` it finds what was committed."""

    def __init__(self, folder: Path, programs: tuple[str, str]) -> None:
        self._install, self._serve = programs
        self.folder = folder
        self.port = free_port()
        self.log = folder / "mariadbd.log"
        self._data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self.keeper = MariaDbAccount("127.0.0.1", self.port, "keeper", secrets.token_hex(12), "mysql")

    def start(self) -> None:
        """Starts it, and makes its data folder before the first start. Raises AssertionError with its log."""
        first = not self._data.exists()
        if first:
            options = [f"--datadir={self._data}", "--auth-root-authentication-method=normal", "--skip-test-db"]
            made = subprocess.run(
                [self._install, "--no-defaults", *options, *_as_root()], capture_output=True, timeout=120
            )
            assert made.returncode == 0, made.stderr.decode(errors="replace") + made.stdout.decode(errors="replace")
            self.folder.joinpath("first.sql").write_text(
                f"create user keeper{ANY_USER} identified by '{self.keeper.password}';"
                f"\ngrant all on *.* to keeper{ANY_USER} with grant option;\ndrop user root@'localhost';\n"
            )
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                [
                    self._serve,
                    "--no-defaults",
                    f"--datadir={self._data}",
                    f"--socket={self.folder / 'socket'}",
                    f"--pid-file={self.folder / 'pid'}",
                    f"--port={self.port}",
                    "--bind-address=127.0.0.1",
                    "--skip-log-bin",
                    "--innodb-buffer-pool-size=24M",
                    "--innodb-log-file-size=8M",
                    "--performance-schema=off",
                    "--character-set-server=utf8mb4",
                    *([f"--init-file={self.folder / 'first.sql'}"] if first else []),
                    *_as_root(),
                ],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        self._wait()

    def stop(self) -> None:
        """Ends it in an orderly way."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)

    def kill(self) -> None:
        """Ends it as a power cut of the process would; what was committed is there after `start()`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @contextmanager
    def database(self) -> Iterator[MariaDbAccount]:
        """A fresh database and a user with all rights on it; dropped afterwards."""
        name = f"portal_{secrets.token_hex(4)}"
        owner = MariaDbAccount("127.0.0.1", self.port, name, secrets.token_hex(12), name)
        with self._keeper() as keeper:
            keeper.execute(f"create database {name}")
        self.add_user(owner, "all")
        try:
            yield owner
        finally:
            with self._keeper() as keeper:
                keeper.execute(f"drop database {name}")
            self.drop_user(owner)

    def add_user(self, account: MariaDbAccount, rights: str) -> None:
        """Makes a user with these rights (`select`, `all`) on every table of the account's database."""
        with self._keeper() as keeper:
            keeper.execute(f"create or replace user {account.user}{ANY_USER} identified by %s", (account.password,))
            keeper.execute(f"grant {rights} on {account.database}.* to {account.user}{ANY_USER}")

    def run(self, statement: str) -> None:
        """Runs a statement of the server's keeper."""
        with self._keeper() as keeper:
            keeper.execute(statement)

    def drop_user(self, account: MariaDbAccount) -> None:
        """Takes a user away."""
        with self._keeper() as keeper:
            keeper.execute(f"drop user {account.user}{ANY_USER}")

    @contextmanager
    def _keeper(self) -> Iterator[pymysql.cursors.Cursor]:
        with connect(self.keeper) as connection, connection.cursor() as cursor:
            yield cursor

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                connect(self.keeper).close()
                return
            except pymysql.Error as error:
                ended = self._process is None or self._process.poll() is not None
                assert not ended and time.monotonic() < deadline, f"{error}\n{self.log.read_text()[-3_000:]}"
                time.sleep(0.05)


def connect(account: MariaDbAccount) -> pymysql.Connection[pymysql.cursors.Cursor]:
    """A connection that commits each statement."""
    return pymysql.connect(
        host=account.host,
        port=account.port,
        user=account.user,
        password=account.password,
        database=account.database,
        autocommit=True,
        charset="utf8mb4",
    )


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDbServer]:
    """A running MariaDB; whoever kills it starts it again. Skips where the program is not installed."""
    install, serve = shutil.which("mariadb-install-db", path=PATH), shutil.which("mariadbd", path=PATH)
    if install is None or serve is None:
        pytest.skip("mariadbd is not installed: the package is called mariadb-server")
    server = MariaDbServer(tmp_path_factory.mktemp("mariadb"), (install, serve))
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _as_root() -> list[str]:
    """mariadbd run by root wants to hear that this is meant."""
    return ["--user=root"] if os.geteuid() == 0 else []
