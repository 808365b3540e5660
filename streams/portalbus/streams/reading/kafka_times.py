"""When Kafka stored the records that the relay sent: the only times of a trace that do not stand in the ledger."""

from __future__ import annotations

from datetime import UTC, datetime

from confluent_kafka import Consumer, TopicPartition

from portalbus.schemas.kafka_settings import librdkafka_settings
from portalbus.streams.reading.tracing import SentOn


def kafka_times(bootstrap: str, places: list[SentOn], patience_s: float = 5.0) -> dict[SentOn, datetime]:
    """Kafka's time of each of these records, as far as it could be read in time."""
    consumer = Consumer(
        {**librdkafka_settings(bootstrap), "group.id": "portalbus-trace", "enable.auto.commit": False, "log_level": 2}
    )
    found: dict[SentOn, datetime] = {}
    try:
        for place in places:
            consumer.assign([TopicPartition(place.topic, place.partition, place.offset)])
            message = consumer.poll(patience_s)
            if message is None or message.error() or message.offset() != place.offset:
                break
            found[place] = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
    finally:
        consumer.close()
    return found
