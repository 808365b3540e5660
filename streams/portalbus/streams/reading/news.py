"""News from the ledger: the last position whenever it moves, by LISTEN, or by looking when LISTEN says nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import psycopg
import structlog

from portalbus.streams.reading.pool import Connection, connection_arguments
from portalbus.streams.reading.tally import last_position

CHANNEL = "ledger"
log = structlog.get_logger(__name__)


async def ledger_positions(
    database_url: str, *, look_every_s: float = 2.0, reconnect_after_s: float = 1.0
) -> AsyncIterator[int]:
    """Yields the ledger's last position at once and then whenever it moved, for ever.

    Notifications wake it; where they do not arrive (a pooler in between, a standby) it looks every `look_every_s`
    seconds. A lost connection is made anew; nothing is missed, because it is the position that counts.
    """
    last: int | None = None
    while True:
        try:
            async with await _listening(database_url) as connection:
                while True:
                    position = await last_position(connection)
                    if position != last:
                        last = position
                        yield position
                    await _wait_for_notification(connection, look_every_s)
        except psycopg.Error as error:
            log.warning("news.connection-lost", error=type(error).__name__, retry_after_s=reconnect_after_s)
            await asyncio.sleep(reconnect_after_s)


async def _listening(database_url: str) -> Connection:
    connection = await psycopg.AsyncConnection.connect(database_url, **connection_arguments("news"))
    with suppress(psycopg.errors.FeatureNotSupported, psycopg.errors.ObjectNotInPrerequisiteState):
        await connection.execute(f"listen {CHANNEL}")
    return connection


async def _wait_for_notification(connection: Connection, timeout_s: float) -> None:
    """Returns after the first notifications (however many came together), or after the timeout."""
    async for _ in connection.notifies(timeout=timeout_s, stop_after=1):
        pass
