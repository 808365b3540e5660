"""How far the relay has sent: the last committed record of its position topic, not what anybody remembers."""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from portalbus.schemas.kafka_settings import librdkafka_settings
from portalbus.schemas.topics import RELAY_POSITION

FIRST_LOOK_BACK = 64
TIMEOUT_SECONDS = 15.0


def read_position(bootstrap: str, properties: Mapping[str, str] | None = None) -> int:
    """The ledger position up to which everything was sent; 0 when nothing was.

    Every transaction of the relay writes one record here, so the last record that a `read_committed` reader sees
    belongs to the last transaction that took effect. `properties` as for `librdkafka_settings`. Raises KafkaException.
    """
    consumer = Consumer(
        {
            **librdkafka_settings(bootstrap, properties),
            "group.id": "portalbus-relay-position",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    try:
        low, high = consumer.get_watermark_offsets(TopicPartition(RELAY_POSITION, 0), timeout=TIMEOUT_SECONDS)
        look_back = FIRST_LOOK_BACK
        while True:
            start = max(low, high - look_back)
            found = _last_record_from(consumer, start)
            if found is not None or start == low:
                return found or 0
            look_back *= 8  # the tail held nothing but aborted transactions and their markers
    finally:
        consumer.close()


def _last_record_from(consumer: Consumer, start: int) -> int | None:
    consumer.assign([TopicPartition(RELAY_POSITION, 0, start)])
    last: int | None = None
    while True:
        message = consumer.poll(TIMEOUT_SECONDS)
        if message is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"{RELAY_POSITION} was not read to its end"))
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                return last
            raise KafkaException(error)
        value = message.value()
        if value is not None:
            last = int(value)
