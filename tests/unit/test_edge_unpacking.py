"""Unpacking: lane records straight from a Kafka record batch, the same as by way of aiokafka's own records."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_UNCOMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from portalbus.streams.edge.unpacking import LaneRecords, lane_records

LANE = "lane.H26"
COUNT = 30


def record_batch(first: int, count: int) -> bytearray:
    """Return a Kafka record batch as a broker would send it."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 20,
    )
    for number in range(count):
        headers = [("ce_id", b"%d" % number)] if number % 2 else []
        builder.append(number, 1_700_000_000_000 + number, b"key", None if number == 3 else b"value" * number, headers)
    batch: bytearray = builder.build()
    batch[0:8] = first.to_bytes(8, "big")  # the base offset, which the broker sets and no checksum covers
    return batch


def fetched(kind: type[PartitionRecords], raw: bytes, offset: int) -> list[object]:
    tp = TopicPartition(LANE, 0)
    return list(kind(tp, MemoryRecords(raw), None, offset, None, None, True, READ_UNCOMMITTED))


def test_both_ways_give_the_same_records() -> None:
    raw = bytes(record_batch(100, COUNT) + record_batch(100 + COUNT, COUNT))
    direct = lane_records(LANE, fetched(LaneRecords, raw, 100))
    assert direct == lane_records(LANE, fetched(PartitionRecords, raw, 100))
    assert [record.offset for record in direct] == list(range(100, 100 + 2 * COUNT))
    assert {(record.lane, record.agency) for record in direct} == {(LANE, "H26")}
    assert direct[3].value is None
    assert direct[5].headers == (("ce_id", b"5"),)
    assert direct[0].timestamp_ms == 1_700_000_000_000


def test_a_fetch_that_begins_inside_a_batch_leaves_out_what_came_before() -> None:
    raw = bytes(record_batch(100, COUNT))
    direct = lane_records(LANE, fetched(LaneRecords, raw, 120))
    assert [record.offset for record in direct] == list(range(120, 100 + COUNT))
    assert direct == lane_records(LANE, fetched(PartitionRecords, raw, 120))


def test_a_batch_that_was_damaged_on_its_way_is_refused() -> None:
    raw = record_batch(0, COUNT)
    raw[-1] ^= 1
    with pytest.raises(CorruptRecordException, match="wrong checksum"):
        fetched(LaneRecords, bytes(raw), 0)
