"""Delivery: the handler gets each batch once, a failing handler ends the process, and stopping waits for it."""

from __future__ import annotations

import asyncio

import pytest
from mode.utils.queues import FlowControlEvent

from portalbus.streams.edge.delivery import Delivery
from portalbus.streams.edge.lane_queue import LaneQueue
from portalbus.streams.edge.progress import LaneProgress
from portalbus.streams.records import Batch, LaneRecord

RECORD = LaneRecord("lane.H26", "H26", 4, 0, None, b"a citizen's words")


class Handler:
    """A handler that can be told to wait or to fail."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.may_finish = asyncio.Event()
        self.may_finish.set()
        self.error: Exception | None = None

    async def __call__(self, batch: Batch) -> None:
        self.batches.append(batch)
        if self.error:
            raise self.error
        await self.may_finish.wait()


class Bench:
    """A delivery with its queue, progress, and the reasons for which it would have ended the process."""

    def __init__(self, handler: Handler, **kwargs: object) -> None:
        self.reasons: list[tuple[str, dict[str, object]]] = []
        self.queue = LaneQueue(
            FlowControlEvent(), max_records=10, max_bytes=10, batch_max_records=10, batch_max_bytes=10
        )
        self.progress = LaneProgress()
        self.progress.assigned({"lane.H26": 4})
        self.delivery = Delivery(
            self.queue,
            self.progress,
            handler,
            fail_stop=lambda reason, /, **where: self.reasons.append((reason, where)),
            **kwargs,  # type: ignore[arg-type]
        )


@pytest.fixture
def handler() -> Handler:
    return Handler()


def test_a_handled_batch_is_progress(handler: Handler) -> None:
    bench = Bench(handler)
    asyncio.run(bench.delivery.deliver(Batch([RECORD], 0)))
    assert bench.progress.next_offsets() == {"lane.H26": 5}


def test_a_batch_of_an_earlier_epoch_is_dropped(handler: Handler) -> None:
    bench = Bench(handler)
    bench.queue.begin_epoch()
    asyncio.run(bench.delivery.deliver(Batch([RECORD], 0)))
    assert handler.batches == []
    assert bench.progress.next_offsets() == {"lane.H26": 4}


def test_an_exception_of_the_handler_ends_the_process_and_quotes_nothing(handler: Handler) -> None:
    handler.error = ValueError(f"cannot judge {RECORD.value!r}")
    bench = Bench(handler)
    asyncio.run(bench.delivery.deliver(Batch([RECORD], 0)))
    ((reason, where),) = bench.reasons
    assert reason == "the handler of a batch raised"
    assert where["error"] == "ValueError"
    assert "citizen" not in repr(where)
    assert bench.progress.next_offsets() == {"lane.H26": 4}


def test_finishing_waits_for_the_batch_in_hand(handler: Handler) -> None:
    async def scenario() -> None:
        bench = Bench(handler)
        handler.may_finish.clear()
        delivering = asyncio.ensure_future(bench.delivery.deliver(Batch([RECORD], 0)))
        await asyncio.sleep(0)
        assert not await bench.delivery.finish(within=0.01)
        handler.may_finish.set()
        assert await bench.delivery.finish(within=5)
        await delivering

    asyncio.run(scenario())


def test_a_handler_that_commits_later_reports_its_progress_itself(handler: Handler) -> None:
    async def scenario() -> None:
        settled = []

        async def settle() -> None:
            settled.append(True)

        bench = Bench(handler, settle=settle)
        await bench.delivery.deliver(Batch([RECORD], 0))
        assert bench.progress.next_offsets() == {"lane.H26": 4}
        assert await bench.delivery.finish(within=5)
        assert settled == [True]

    asyncio.run(scenario())
