"""What the tests of the ledger's read side and of the central portal share: a PostgreSQL, a ledger, a portal process."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx2
import psycopg
import pytest
from ledger_rows import LedgerRows
from psycopg import sql

from portalbus.infra.stack.paths import StateFolder
from portalbus.infra.stack.postgres import Postgres, new_passwords
from portalbus.streams.ledger.database import migrate

PATIENCE_S = 30


def free_port() -> int:
    """A port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL without the rest of the stack; `PORTALBUS_TEST_DATABASE_URL` names another one to use."""
    given = os.environ.get("PORTALBUS_TEST_DATABASE_URL")
    if given:
        yield given
        return
    state = StateFolder.at(tmp_path_factory.mktemp("postgres"))
    for folder in (state.logs, state.run):
        folder.mkdir(parents=True)
    postgres = Postgres(state, free_port(), new_passwords())
    postgres.start()
    try:
        yield postgres.uri("portalbus")
    finally:
        postgres.stop()


@pytest.fixture(scope="module")
def ledger_url(postgres_url: str) -> Iterator[str]:
    """A migrated ledger in a database of its own."""
    name = f"ledger_{secrets.token_hex(4)}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        url = urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
        migrate(url)
        yield url
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[LedgerRows]:
    """An empty ledger to put rows into."""
    rows = LedgerRows(ledger_url)
    rows.empty()
    yield rows
    rows.close()


class CentralProcess:
    """The central portal as a process of its own."""

    def __init__(self, database_url: str, log: Path, *arguments: str) -> None:
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        self.log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "portalbus.connectors.central", "--port", str(port), *arguments],
                env={**os.environ, "PORTALBUS_DATABASE_URL": database_url},
                stdout=out,
                stderr=out,
            )
        self.pid = self._process.pid

    def wait_until(self, path: str = "/readyz", status: int = 200) -> None:
        """Waits until the portal answers `path` with `status`."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self.log.read_text()
            try:
                if httpx2.get(f"{self.address}{path}", timeout=5).status_code == status:
                    return
            except httpx2.TransportError:
                pass
            time.sleep(0.05)
        pytest.fail(f"{path} did not answer {status} within {PATIENCE_S} s: {self.log.read_text()}")

    def stop(self) -> int:
        """Ends it in an orderly way; returns its status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def central(ledger_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CentralProcess]:
    """A central portal over the ledger of this module."""
    process = CentralProcess(
        ledger_url, tmp_path_factory.mktemp("central") / "central.log", "--lookups-per-minute", "10000"
    )
    process.wait_until()
    yield process
    assert process.stop() == 0, process.log.read_text()
