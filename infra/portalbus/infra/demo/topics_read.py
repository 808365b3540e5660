"""Reads topics from a place to their end: what really lies there, for the checks after the day."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from portalbus.schemas.kafka_settings import librdkafka_settings

TIMEOUT_S = 20.0

Places = dict[tuple[str, int], int]


def ends(bootstrap: str, topics: Sequence[str]) -> Places:
    """Where each partition of these topics ends now."""
    with _consumer(bootstrap) as consumer:
        known = consumer.list_topics(timeout=TIMEOUT_S).topics
        places = [(topic, number) for topic in topics if topic in known for number in known[topic].partitions]
        return {place: consumer.get_watermark_offsets(TopicPartition(*place), timeout=TIMEOUT_S)[1] for place in places}


def read_from(bootstrap: str, places: Mapping[tuple[str, int], int]) -> Iterator[Message]:
    """Every committed record of these partitions from these offsets to the end. Raises KafkaException."""
    with _consumer(bootstrap) as consumer:
        consumer.assign([TopicPartition(topic, number, offset) for (topic, number), offset in places.items()])
        open_places = set(places)
        while open_places:
            message = consumer.poll(TIMEOUT_S)
            if message is None:
                raise KafkaException(
                    KafkaError(KafkaError._TIMED_OUT, f"{len(open_places)} partitions were not read to their end")
                )
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                open_places.discard((message.topic() or "", message.partition() or 0))
            else:
                raise KafkaException(error)


@contextmanager
def _consumer(bootstrap: str) -> Iterator[Consumer]:
    consumer = Consumer(
        {
            **librdkafka_settings(bootstrap, {}),
            "group.id": "portalbus-demo-check",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
        }
    )
    try:
        yield consumer
    finally:
        consumer.close()
