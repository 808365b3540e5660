"""The intake on a real ledger: who waits for a commit may lose patience, the commit goes on and is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager

import psycopg
import pytest

from bus_events import Lane, directive, writers
from memory_ledger import directory
from portalbus.streams.decoding.decoder import Decoder
from portalbus.streams.intake import Intake
from portalbus.streams.ledger.ledger import LaneJump, Ledger
from portalbus.streams.records import Batch

PATIENCE_S = 20.0


class Told:
    """What an intake told of its commits."""

    def __init__(self) -> None:
        self.committed: list[Mapping[str, int]] = []
        self.failed: list[Exception] = []

    async def until_anything(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not (self.committed or self.failed):
                await asyncio.sleep(0.01)


@pytest.fixture
def url(ledger_url: str) -> Iterator[str]:
    with psycopg.connect(ledger_url) as connection:
        connection.execute(
            "truncate ledger.lane, ledger.source, ledger.event, ledger.judgement, ledger.directive_version"
        )
        connection.execute("truncate ledger.directive, ledger.notice")
    yield ledger_url


@asynccontextmanager
async def opened(url: str, told: Told) -> AsyncIterator[Intake]:
    intake = Intake(Ledger(url, writers(), directory()), Decoder(writers()), told.committed.append, told.failed.append)
    try:
        await intake.positions(["lane.H26"])
        yield intake
    finally:
        await intake.close()


def batch(lane: Lane, *skipped: int) -> Batch:
    """The lane's records, but for some."""
    return Batch([item.record for item in lane.items if item.record.offset not in skipped], 0)


@pytest.mark.parametrize("skipped", [(), (0,)])
def test_a_commit_that_somebody_was_tired_of_waiting_for_goes_on_and_says_how_it_ended(
    url: str, skipped: tuple[int, ...]
) -> None:
    """As at a rebalance: what is in hand is waited for, for some seconds, while the database stands."""
    lane, told = Lane("H26"), Told()
    for number in range(2):
        lane.say(directive(f"d-{number}"))

    async def run() -> None:
        async with opened(url, told) as intake:
            with psycopg.connect(url) as other:
                other.execute("select from ledger.position for update")
                await intake.handle(batch(lane, *skipped))
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.3):
                        await intake.settle()
                assert not told.committed
            await told.until_anything()
            await intake.settle()

    if skipped:
        with pytest.raises(LaneJump):
            asyncio.run(run())
        assert [type(error) for error in told.failed] == [LaneJump]
    else:
        asyncio.run(run())
        assert told.committed == [{"lane.H26": 2}]


def test_two_who_wait_for_the_same_commit_leave_the_next_one_in_hand(url: str) -> None:
    lane, told = Lane("H26"), Told()
    lane.say(directive("d-1"))

    async def run() -> None:
        async with opened(url, told) as intake:
            with psycopg.connect(url) as other:
                other.execute("select from ledger.position for update")
                await intake.handle(batch(lane))
                waiting = [asyncio.ensure_future(intake.settle()) for _ in range(2)]
                lane.say(directive("d-2"))
                coming = asyncio.ensure_future(intake.handle(batch(lane, 0)))
            await asyncio.gather(*waiting, coming)
            await intake.settle()
            assert told.committed == [{"lane.H26": 1}, {"lane.H26": 2}]

    asyncio.run(run())
