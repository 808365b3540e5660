"""The lane queue: batches from what waits, bounded in records and in bytes, nothing stale."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from mode.utils.queues import FlowControlEvent

from portalbus.streams.edge.lane_queue import LaneQueue, cut
from portalbus.streams.records import Batch, LaneRecord


def records(lane: str, sizes: Iterable[int], first: int = 0) -> list[LaneRecord]:
    return [LaneRecord(lane, lane[5:], first + i, 0, None, b"x" * size) for i, size in enumerate(sizes)]


def queue(**limits: int) -> LaneQueue:
    defaults = {"max_records": 100, "max_bytes": 10_000, "batch_max_records": 10, "batch_max_bytes": 1_000}
    return LaneQueue(FlowControlEvent(), **{**defaults, **limits})


async def take_all(q: LaneQueue) -> list[Batch]:
    batches = []
    while not q.empty():
        batches.append(await q.get())
    return batches


def offsets(batches: Iterable[Batch], lane: str) -> list[int]:
    return [record.offset for batch in batches for record in batch.records if record.lane == lane]


def test_a_single_record_is_given_out_at_once() -> None:
    async def scenario() -> Batch:
        q = queue()
        getting = asyncio.ensure_future(q.get())
        await asyncio.sleep(0)
        await q.offer(records("lane.H26", [5]))
        return await asyncio.wait_for(getting, 5)

    batch = asyncio.run(scenario())
    assert [record.offset for record in batch.records] == [0]
    assert batch.size == 5


def test_what_waits_in_several_lanes_becomes_one_batch() -> None:
    async def scenario() -> list[Batch]:
        q = queue()
        for lane in ("lane.H26", "lane.G01", "lane.G22"):
            await q.offer(records(lane, [10, 10, 10]))
        return await take_all(q)

    (batch,) = asyncio.run(scenario())
    assert batch.next_offsets() == {"lane.H26": 3, "lane.G01": 3, "lane.G22": 3}
    assert batch.size == 90


@given(
    st.lists(
        st.tuples(st.sampled_from(["lane.H26", "lane.G01"]), st.lists(st.integers(0, 1_500), max_size=40)), max_size=8
    )
)
def test_batches_keep_each_lanes_order_and_their_limits(fetches: list[tuple[str, list[int]]]) -> None:
    async def scenario() -> list[Batch]:
        q = queue(max_records=10_000, max_bytes=10_000_000)
        nexts = {"lane.H26": 0, "lane.G01": 0}
        for lane, sizes in fetches:
            await q.offer(records(lane, sizes, nexts[lane]))
            nexts[lane] += len(sizes)
        batches = await take_all(q)
        assert (q.records_waiting, q.bytes_waiting) == (0, 0)
        for lane, count in nexts.items():
            assert offsets(batches, lane) == list(range(count))
        return batches

    for batch in asyncio.run(scenario()):
        assert len(batch.records) <= 10
        assert batch.size == sum(len(record.value or b"") for record in batch.records)
        assert batch.size <= 1_000 or len(batch.records) == 1


def test_who_fetches_waits_while_the_queue_is_full_of_bytes() -> None:
    async def scenario() -> None:
        q = queue(max_bytes=3_000)
        offering = asyncio.ensure_future(q.offer(records("lane.H26", [900] * 20)))
        taken: list[Batch] = []
        while len(taken) < 20:
            await asyncio.sleep(0)
            assert q.bytes_waiting <= 3_000 + 1_000, "the bound may be passed by one piece at most"
            taken.append(await q.get())
        await asyncio.wait_for(offering, 5)
        assert offsets(taken, "lane.H26") == list(range(20))

    asyncio.run(scenario())


def test_who_fetches_waits_while_the_queue_is_full_of_records() -> None:
    async def scenario() -> None:
        q = queue(max_records=20)
        offering = asyncio.ensure_future(q.offer(records("lane.H26", [1] * 100)))
        await asyncio.sleep(0.01)
        assert not offering.done()
        assert q.records_waiting == 20
        taken: list[Batch] = []
        while not (offering.done() and q.empty()):
            taken.append(await asyncio.wait_for(q.get(), 5))
            await asyncio.sleep(0)
        assert offsets(taken, "lane.H26") == list(range(100))

    asyncio.run(scenario())


def test_a_new_epoch_forgets_what_waits_and_what_waited_to_be_put() -> None:
    async def scenario() -> None:
        q = queue(max_records=20)
        stale = asyncio.ensure_future(q.offer(records("lane.H26", [1] * 100)))
        await asyncio.sleep(0)
        q.begin_epoch()
        await asyncio.wait_for(stale, 5)
        assert q.empty()
        assert (q.records_waiting, q.bytes_waiting) == (0, 0)
        await q.offer(records("lane.H26", [1], first=40))
        (batch,) = await take_all(q)
        assert (batch.epoch, offsets([batch], "lane.H26")) == (1, [40])

    asyncio.run(scenario())


def test_headers_and_keys_count_as_bytes() -> None:
    record = LaneRecord("lane.H26", "H26", 0, 0, b"key", None, (("ce_id", b"12345"),))
    (piece,) = cut([record], epoch=0, max_records=10, max_bytes=100)
    assert piece.size == 3 + 5 + 5
