"""The console's own connections to the ledger, each used in a thread: they may write, unlike those of the pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from psycopg import Connection
from psycopg_pool import ConnectionPool

from portalbus.streams.ledger.database import LIVELY

T = TypeVar("T")
MOST_CONNECTIONS = 4
WAIT_FOR_CONNECTION_S = 5.0
OPTIONS = "-c timezone=UTC -c statement_timeout=10s -c lock_timeout=5s"


class OfficeThreads:
    """Runs work that takes a connection. Four pieces of it at once; what decides about the ledger has its own."""

    def __init__(self, database_url: str) -> None:
        self.database_url = database_url
        self._pool: ConnectionPool[Connection[Any]] = ConnectionPool(
            database_url,
            min_size=0,
            max_size=MOST_CONNECTIONS,
            open=False,
            timeout=WAIT_FOR_CONNECTION_S,
            kwargs={
                "autocommit": True,
                "application_name": "portalbus-office",
                **LIVELY,
                "options": OPTIONS,
            },
            check=ConnectionPool.check_connection,
            name="portalbus-office",
        )
        self._limiter = anyio.CapacityLimiter(MOST_CONNECTIONS)

    async def run(self, work: Callable[[Connection[Any]], T]) -> T:
        """What `work` returns. Raises psycopg errors, and PoolTimeout when no connection is free for 5 s."""
        return await anyio.to_thread.run_sync(self._with_connection, work, limiter=self._limiter)

    def open(self) -> None:
        """Lets connections be made, as they are needed."""
        self._pool.open(wait=False)

    def close(self) -> None:
        """Closes the connections."""
        self._pool.close(timeout=2)

    def _with_connection(self, work: Callable[[Connection[Any]], T]) -> T:
        with self._pool.connection() as connection:
            return work(connection)
