"""Makes lane records straight from a fetched buffer, without aiokafka's own record object in between.

aiokafka makes a ConsumerRecord for each record, of which ours would be a copy; those two and the calls in between
cost three times as much per record as reading it. Only the way in which records leave the buffer is replaced; should
aiokafka's insides ever look different, its records are converted instead.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

from aiokafka.consumer import fetcher as aiokafka_fetcher
from aiokafka.consumer.fetcher import Fetcher, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

from portalbus.schemas.topics import agency_of
from portalbus.streams.records import LaneRecord

_SMALL_FETCH_BYTES = 65_536
_BATCH_START = struct.Struct(">qi")
_new_record = partial(tuple.__new__, LaneRecord)  # LaneRecord(…) without a Python call: a third of the time


class FetchedBytes(MemoryRecords):  # type: ignore[misc]
    """A fetched buffer that is still there when one of its batches has to be read again."""

    def __init__(self, buffer: bytes) -> None:
        super().__init__(buffer)
        self.buffer = buffer


class ForgivingBuffer(bytearray):
    """Bytes whose text may be wrong: what is no UTF-8 in it becomes the replacement character."""

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return ForgivingBuffer(found) if isinstance(index, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)


class ForgivingBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    """A batch whose header names may be any bytes. Kafka takes such names, and aiokafka raises at them: one portal
    could stop every lane of a worker. Reading this way takes ten times as long.
    """

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer: bytearray = ForgivingBuffer(self._buffer)


class LaneRecords(PartitionRecords):  # type: ignore[misc]
    """One lane's part of a fetch, given out as one list of lane records per Kafka record batch."""

    next_fetch_offset: int

    def _unpack_records(self) -> Iterator[list[LaneRecord]]:
        lane: str = self._tp.topic
        agency = agency_of(lane)
        while self._records.has_next():
            batch = self._records.next_batch()
            if not batch.validate_crc():
                raise CorruptRecordException(f"a batch of {lane} has a wrong checksum")
            records: list[Any] = []
            if not batch.is_control_batch:
                try:
                    records = _records_in(batch, lane, agency)
                except UnicodeDecodeError:
                    records = _records_in(_forgiving(self._records.buffer, batch.base_offset), lane, agency)
                if records and records[0].offset < self.next_fetch_offset:  # a fetch may begin inside a batch
                    records = [r for r in records if r.offset >= self.next_fetch_offset]
            self.next_fetch_offset = batch.next_offset
            if records:
                yield records


def give_out_lane_records(fetcher: Fetcher, pause: float) -> None:
    """Make this fetcher give out lane records; to be called before it fetches anything.

    After a small fetch it rests for `pause` seconds. A request names every lane, so that many small ones cost more
    than what they bring; and aiokafka would ask again before the records just fetched are taken, leave their lanes
    out, and let a lane's next event wait for another lane's.
    """
    fetch = fetcher._proc_fetch_request
    aiokafka_fetcher.MemoryRecords = FetchedBytes

    async def fetch_lanes(assignment: Any, node_id: int, request: Any) -> bool:
        arrived: bool = await fetch(assignment, node_id, request)
        size = 0
        for result in fetcher._records.values() if arrived else ():
            part: Any = getattr(result, "_partition_records", None)
            if type(part) is PartitionRecords:  # untouched: nothing was taken from it yet
                part.__class__ = LaneRecords
                part._records_iterator = part._unpack_records()
                size += part._records.size_in_bytes()
        if 0 < size < _SMALL_FETCH_BYTES:
            for waiter in fetcher._fetch_waiters:
                fetcher._notify(waiter)
            await asyncio.sleep(pause)
        return arrived

    fetcher._proc_fetch_request = fetch_lanes


def lane_records(lane: str, fetched: Sequence[Any]) -> list[LaneRecord]:
    """Return one lane's part of a fetch as one list, whichever way it came."""
    if isinstance(fetched[0], list):
        return fetched[0] if len(fetched) == 1 else list(chain.from_iterable(fetched))
    agency = agency_of(lane)
    return [LaneRecord(lane, agency, r.offset, r.timestamp, r.key, r.value, tuple(r.headers)) for r in fetched]


def _records_in(batch: Any, lane: str, agency: str) -> list[Any]:
    return [_new_record((lane, agency, r.offset, r.timestamp, r.key, r.value, tuple(r.headers))) for r in batch]


def _forgiving(buffer: bytes, base_offset: int) -> ForgivingBatch:
    """The batch that begins at this offset, found in a fetched buffer: each begins with its offset and length."""
    position = 0
    while True:
        offset, length = _BATCH_START.unpack_from(buffer, position)
        end = position + _BATCH_START.size + length
        if offset == base_offset:
            return ForgivingBatch(memoryview(buffer)[position:end])
        position = end
