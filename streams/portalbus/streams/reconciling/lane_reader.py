"""Looking a record up in its lane: the last word on whether an event was ever sent."""

from __future__ import annotations

import time
from typing import Protocol

from confluent_kafka import Consumer, KafkaException, TopicPartition

from portalbus.schemas.codec import Decoded, Misshapen, WriterSchemas, read
from portalbus.schemas.errors import UndecodableRecord
from portalbus.schemas.kafka_settings import librdkafka_settings
from portalbus.schemas.topics import lane_of

TIMEOUT_SECONDS = 10.0


class Lanes(Protocol):
    """Where records can be looked up."""

    def holds(self, agency: str, lane_offset: int, event_id: str) -> bool | None:
        """True when this record is this event; None when nobody can tell now."""


class LaneReader:
    """Reads single records of the lanes, outside of every consumer group."""

    def __init__(self, bootstrap: str, writers: WriterSchemas) -> None:
        self._bootstrap = bootstrap
        self._writers = writers

    def holds(self, agency: str, lane_offset: int, event_id: str) -> bool | None:
        """True when this record of the agency's lane is this event; None when Kafka does not answer."""
        consumer = Consumer(
            {**librdkafka_settings(self._bootstrap), "group.id": "portalbus-lane-reader", "enable.auto.commit": False}
        )
        try:
            place = TopicPartition(lane_of(agency), 0, lane_offset)
            low, high = consumer.get_watermark_offsets(place, timeout=TIMEOUT_SECONDS)
            if lane_offset >= high:
                return False
            if lane_offset < low:
                return None
            consumer.assign([place])
            return self._first_is(consumer, lane_offset, event_id)
        except KafkaException:
            return None
        finally:
            consumer.close()

    def _first_is(self, consumer: Consumer, lane_offset: int, event_id: str) -> bool | None:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            message = consumer.poll(left)
            if message is None or message.error() is not None:
                continue
            return message.offset() == lane_offset and self._id_in(message.value()) == event_id
        return None

    def _id_in(self, value: bytes | None) -> str | None:
        try:
            found = read(value, self._writers)
        except UndecodableRecord:
            return None
        if isinstance(found, Decoded):
            return found.event.envelope.id
        return found.envelope.id if isinstance(found, Misshapen) else None
