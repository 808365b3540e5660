"""The ledger's read side: counts that stay right, news that arrive, and no way to write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import psycopg
import pytest

from ledger_rows import LedgerRows, directive
from portalbus.streams.reading.directives import changed_between
from portalbus.streams.reading.news import ledger_positions
from portalbus.streams.reading.pool import Connection, connection_arguments, reading_pool
from portalbus.streams.reading.tally import VerdictCounts, VerdictTally, last_position


def with_connection(url: str, work: Callable[[Connection], Awaitable[Any]]) -> Any:
    """Runs `work` with one reading connection."""

    async def run() -> Any:
        pool = reading_pool(url, size=1)
        await pool.open(wait=True)
        try:
            async with pool.connection() as connection:
                return await work(connection)
        finally:
            await pool.close()

    return asyncio.run(run())


def test_a_reading_connection_cannot_write(ledger: LedgerRows) -> None:
    async def write(connection: Connection) -> None:
        await connection.execute("update ledger.position set next = 99")

    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        with_connection(ledger.database_url, write)


def test_the_tally_counts_every_final_verdict_once(ledger: LedgerRows) -> None:
    async def count(connection: Connection) -> None:
        tally = VerdictTally()
        assert await tally.refresh(connection) == 0
        expected = {"H26": [0, 0, 0], "G22": [0, 0, 0]}
        for round_ in range(4):
            for agency in expected:
                for index, status in enumerate(("ACCEPTED", "REJECTED", "DUPLICATE")):
                    for _ in range(round_ + index):
                        ledger.refuse(agency, status=status)
                        expected[agency][index] += 1
            ledger.wait("H26", "H26-1")
            ledger.park("H26")
            await tally.refresh(connection)
            for agency, counts in expected.items():
                assert tally.of(agency) == VerdictCounts(*counts)
        assert tally.position == await last_position(connection)
        assert tally.totals()["ACCEPTED"] == sum(counts[0] for counts in expected.values())

    with_connection(ledger.database_url, count)


def test_the_tally_begins_again_when_the_ledger_was_rebuilt(ledger: LedgerRows) -> None:
    async def count(connection: Connection) -> None:
        tally = VerdictTally()
        ledger.refuse("H26")
        ledger.refuse("H26")
        await tally.refresh(connection)
        ledger.empty()
        await tally.refresh(connection)
        assert tally.of("H26").rejected == 0
        for _ in range(5):
            ledger.refuse("G22")
        await tally.refresh(connection)
        ledger.empty()
        for _ in range(9):
            ledger.refuse("H01")
        await tally.refresh(connection)
        assert (tally.of("G22").rejected, tally.of("H01").rejected) == (0, 9)

    with_connection(ledger.database_url, count)


def test_what_changed_is_told_once_at_its_newest_version(ledger: LedgerRows) -> None:
    async def look(connection: Connection) -> None:
        ledger.publish(directive("a"))
        before = await last_position(connection)
        ledger.publish(directive("b"))
        ledger.refuse("H26")
        ledger.publish(directive("a", version=2, action="REVISE"))
        ledger.publish(directive("b", version=2, action="WITHDRAW", withdrawal_reason="Nhầm."))
        after = await last_position(connection)
        rows = await changed_between(connection, before, after)
        assert [(row.key, row.version, row.withdrawn) for row in rows] == [("G22/a", 2, False), ("G22/b", 2, True)]
        assert await changed_between(connection, after, after) == ()
        assert [row.key for row in await changed_between(connection, 0, after, limit=1)] == ["G22/b"]

    with_connection(ledger.database_url, look)


@pytest.mark.parametrize("look_every_s", [60.0, 0.05], ids=["by notification", "by looking"])
def test_news_arrive_however_they_can(ledger: LedgerRows, look_every_s: float) -> None:
    async def follow() -> None:
        news = ledger_positions(ledger.database_url, look_every_s=look_every_s)
        assert await next_within(news) == 0
        for expected in (1, 2, 3):
            later = asyncio.create_task(next_within(news))
            await until_waiting(ledger.database_url)
            if look_every_s < 1:
                write_without_notification(ledger.database_url)
            else:
                await asyncio.to_thread(ledger.refuse, "H26")
            assert await later == expected
        await news.aclose()  # type: ignore[attr-defined]

    asyncio.run(follow())


def test_news_go_on_after_the_connection_was_lost(ledger: LedgerRows) -> None:
    async def follow() -> None:
        news = ledger_positions(ledger.database_url, look_every_s=60, reconnect_after_s=0.05)
        assert await next_within(news) == 0
        later = asyncio.create_task(next_within(news))
        await until_waiting(ledger.database_url)
        with psycopg.connect(ledger.database_url, autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = 'portalbus-news' and datname = current_database()"
            )
        await asyncio.to_thread(ledger.refuse, "H26")
        assert await later == 1
        await news.aclose()  # type: ignore[attr-defined]

    asyncio.run(follow())


async def next_within(news: AsyncIterator[int], seconds: float = 15) -> int:
    """The next position, within a deadline."""
    async with asyncio.timeout(seconds):
        return await anext(news)


async def until_waiting(database_url: str) -> None:
    """Waits until the follower's connection is idle: it has looked, and waits for a notification."""
    async with (
        asyncio.timeout(15),
        await psycopg.AsyncConnection.connect(database_url, **connection_arguments("test")) as connection,
    ):
        query = (
            "select 1 from pg_stat_activity where application_name = 'portalbus-news'"
            " and datname = current_database() and state = 'idle' and query not like 'listen%'"
        )
        while await (await connection.execute(query)).fetchone() is None:
            await asyncio.sleep(0.01)


def write_without_notification(database_url: str) -> None:
    """Moves the ledger's position and tells nobody, as a pooler or a standby would make it look."""
    with psycopg.connect(database_url) as connection:
        connection.execute("update ledger.position set next = next + 1")
