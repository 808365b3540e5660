"""The bounded queue between fetching and judging: it is the back-pressure, and it makes the batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import faust
from mode.utils.queues import FlowControlEvent, ThrowableQueue

from portalbus.streams.records import Batch, LaneRecord

_PIECE_RECORDS = 500


class Piece(NamedTuple):
    """Consecutive records of one lane, small enough to be packed with others."""

    records: Sequence[LaneRecord]
    size: int
    epoch: int


def cut(records: Sequence[LaneRecord], epoch: int, max_records: int, max_bytes: int) -> Iterator[Piece]:
    """Cut one lane's records into pieces no larger than a batch; a record larger than that is a piece alone."""
    max_records = min(max_records, _PIECE_RECORDS)
    start, size = 0, 0
    for index, record in enumerate(records):
        record_size = len(record.value or b"") + len(record.key or b"")
        for name, value in record.headers:
            record_size += len(name) + len(value or b"")
        if index > start and (index - start >= max_records or size + record_size > max_bytes):
            yield Piece(records[start:index], size, epoch)
            start, size = index, 0
        size += record_size
    if start < len(records):
        yield Piece(records[start:], size, epoch)


class LaneQueue(ThrowableQueue[Any]):
    """Holds fetched records up to a number of records and of bytes, and gives them out as batches.

    ``get`` takes everything that waits, up to the size of a batch: one record when the lanes are quiet, a full
    batch under load, and nobody ever waits for a batch to fill. ``put`` waits while the queue is full.
    """

    def __init__(
        self,
        flow_control: FlowControlEvent,
        *,
        max_records: int,
        max_bytes: int,
        batch_max_records: int,
        batch_max_bytes: int,
    ) -> None:
        self.epoch = 0
        self.records_waiting = 0
        self.bytes_waiting = 0
        self._limits = (max_records, max_bytes)
        self._batch_limits = (batch_max_records, batch_max_bytes)
        # Never cleared by Faust (clear_on_resume): an epoch does that, and does not cancel who waits to put.
        super().__init__(flow_control=flow_control, clear_on_resume=False)

    async def offer(self, records: Sequence[LaneRecord]) -> None:
        """Queue one lane's consecutive records, waiting for room; they are dropped if the epoch ends meanwhile."""
        for piece in list(cut(records, self.epoch, *self._batch_limits)):
            while self.full() and piece.epoch == self.epoch:
                putter = self._get_loop().create_future()  # type: ignore[attr-defined]
                self._putters.append(putter)
                try:
                    await putter
                finally:
                    if putter in self._putters:
                        self._putters.remove(putter)
            if piece.epoch == self.epoch:
                self.put_nowait(piece)

    def begin_epoch(self) -> int:
        """Forget everything that waits, because the worker's lanes or its positions in them change."""
        self.epoch += 1
        self._queue.clear()
        self.records_waiting = self.bytes_waiting = 0
        while self._putters:
            self._wakeup_next(self._putters)  # type: ignore[attr-defined]
        return self.epoch

    def full(self) -> bool:
        """Return whether either limit is reached."""
        max_records, max_bytes = self._limits
        return self.records_waiting >= max_records or self.bytes_waiting >= max_bytes

    def _init(self, maxsize: int) -> None:
        self._queue: deque[Piece] = deque()

    def _put(self, item: Piece) -> None:
        self._queue.append(item)
        self.records_waiting += len(item.records)
        self.bytes_waiting += item.size

    def _get(self) -> Batch:
        max_records, max_bytes = self._batch_limits
        records: list[LaneRecord] = []
        size = 0
        while self._queue:
            piece = self._queue[0]
            if records and (len(records) + len(piece.records) > max_records or size + piece.size > max_bytes):
                break
            self._queue.popleft()
            records.extend(piece.records)
            size += piece.size
        self.records_waiting -= len(records)
        self.bytes_waiting -= size
        return Batch(records, self.epoch, size)


class LaneChannel(faust.Channel[Any]):
    """A Faust channel whose every copy reads the one lane queue (a restarted agent goes on where it was)."""

    def __init__(self, app: Any, *, lane_queue: LaneQueue, **kwargs: Any) -> None:
        self._lane_queue = lane_queue
        kwargs["queue"] = lane_queue
        super().__init__(app, **kwargs)

    def _clone_args(self) -> dict[str, Any]:
        return {**super()._clone_args(), "queue": self._lane_queue, "lane_queue": self._lane_queue}
