"""What tests share that need a ledger but no Kafka: a PostgreSQL, a migrated ledger, a central portal over it."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import structlog

from central_process import CentralProcess, free_port
from figures import pytest_terminal_summary
from imap_server import imap
from ledger_rows import LedgerRows
from mariadb_server import mariadb
from portalbus.infra.stack.paths import StateFolder
from portalbus.infra.stack.postgres import SUPERUSER, Postgres, new_passwords, uri
from portalbus.streams.ledger.database import migrate
from running_stack import endpoints, pytest_configure, stack
from scheduling import pytest_xdist_make_scheduler
from scratch_databases import create_database, drop_database

__all__ = [
    "endpoints",
    "imap",
    "mariadb",
    "pytest_configure",
    "pytest_terminal_summary",
    "pytest_xdist_make_scheduler",
    "stack",
]

# A shell without job control starts what it puts into the background with Ctrl-C ignored, and programs hand that on
# to those they start. The tests press Ctrl-C on theirs.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _logs_go_where_they_went_before() -> Iterator[None]:
    """A command run inside a test sets up logging to a stream that the test's end closes."""
    yield
    structlog.reset_defaults()


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
        # The tests make users of their own: those who read a portal's database and may do nothing else.
        superuser = uri(SUPERUSER, postgres.password(SUPERUSER), postgres.port, SUPERUSER)
        with psycopg.connect(superuser, autocommit=True) as connection:
            connection.execute("alter role portalbus createrole")
        yield postgres.uri("portalbus")
    finally:
        postgres.stop()


@pytest.fixture(scope="module")
def ledger_url(postgres_url: str) -> Iterator[str]:
    """A migrated ledger in a database of its own."""
    name = f"ledger_{secrets.token_hex(4)}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        create_database(connection, name)
        url = urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
        migrate(url)
        yield url
        drop_database(connection, name)


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[LedgerRows]:
    """An empty ledger to put rows into."""
    rows = LedgerRows(ledger_url)
    rows.empty()
    yield rows
    rows.close()


@pytest.fixture(scope="module")
def central(ledger_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CentralProcess]:
    """A central portal over the ledger of this module."""
    process = CentralProcess(
        ledger_url, tmp_path_factory.mktemp("central") / "central.log", "--lookups-per-minute", "10000"
    )
    process.wait_until()
    yield process
    assert process.stop() == 0, process.log.read_text()
