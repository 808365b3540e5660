"""A pool of read-only connections to the ledger."""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from portalbus.streams.ledger.database import LIVELY

Connection = AsyncConnection[TupleRow]
Pool = AsyncConnectionPool[Connection]

STATEMENT_TIMEOUT_MS = 5_000
OPTIONS = (
    f"-c timezone=UTC -c default_transaction_read_only=on -c statement_timeout={STATEMENT_TIMEOUT_MS}"
    " -c plan_cache_mode=force_custom_plan"  # a plan made for empty tables must not outlive their growth
)
WAIT_FOR_CONNECTION_S = 3.0


def reading_pool(database_url: str, *, size: int = 8, application: str = "reading") -> Pool:
    """A closed pool of at most `size` connections that cannot write; open it with `await pool.open(wait=False)`.

    A statement ends after 5 s (QueryCanceled), waiting for a free connection after 3 s (PoolTimeout).
    """
    return AsyncConnectionPool(
        database_url,
        min_size=1,
        max_size=size,
        open=False,
        timeout=WAIT_FOR_CONNECTION_S,
        kwargs=connection_arguments(application),
        check=AsyncConnectionPool.check_connection,
        name=f"portalbus-{application}",
    )


def connection_arguments(application: str) -> dict[str, Any]:
    """How a reading connection is made: read-only, autocommit, each statement bounded."""
    return {
        "autocommit": True,
        "application_name": f"portalbus-{application}",
        **LIVELY,
        "options": OPTIONS,
    }
