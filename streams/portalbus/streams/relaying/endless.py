"""Transactions of the relay that the broker has forgotten to end in some partition.

A broker that stops hands its partitions over first. One that has no leader at that moment is taken for deleted: the
transaction's end is not written there, and the transaction is called complete all the same (Kafka's
TransactionMarkerChannelManager). From then on readers of what is committed see nothing beyond its first record. The
next end of a transaction of the same producer in that partition ends it too, as what that one is: so it has to be found
before anything is sent.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from portalbus.schemas.headers import POSITION_HEADER
from portalbus.schemas.kafka_settings import librdkafka_settings
from portalbus.schemas.topics import CENTRAL_PREFIX, RELAY_POSITION, VERDICT_PREFIX

TIMEOUT_SECONDS = 15.0
SETTLE_SECONDS = 5.0
"""An end that was written a moment ago may not be on every replica yet."""
PAUSE_SECONDS = 0.2


class Endless(NamedTuple):
    """A partition with a transaction that has no end, and the ledger position of its first record."""

    topic: str
    partition: int
    position: int


def endless(bootstrap: str) -> list[Endless]:
    """Where nothing of the relay's is under way any more, and yet something is open. Raises KafkaException."""
    admin = AdminClient(librdkafka_settings(bootstrap))
    topics = admin.list_topics(timeout=TIMEOUT_SECONDS).topics
    parts = [
        TopicPartition(name, number)
        for name, topic in topics.items()
        if name.startswith((CENTRAL_PREFIX, VERDICT_PREFIX))
        for number in topic.partitions
    ]
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        try:
            parts = _open(admin, parts) if parts else []
        except KafkaException as error:
            if time.monotonic() > deadline or not error.args[0].retriable():
                raise
        else:
            if not parts or time.monotonic() > deadline:
                return _first_records(bootstrap, parts)
        time.sleep(PAUSE_SECONDS)


def _open(admin: AdminClient, parts: list[TopicPartition]) -> list[TopicPartition]:
    """Those of these partitions in which something is open, each at the offset of its first open record."""
    ends = _ends(admin, parts, IsolationLevel.READ_UNCOMMITTED)
    stable = _ends(admin, parts, IsolationLevel.READ_COMMITTED)
    return [TopicPartition(*part, stable[part]) for part in ends if stable[part] < ends[part]]


def _ends(admin: AdminClient, parts: list[TopicPartition], level: IsolationLevel) -> dict[tuple[str, int], int]:
    asked = admin.list_offsets(
        {TopicPartition(part.topic, part.partition): OffsetSpec.latest() for part in parts},  # type: ignore[no-untyped-call]
        isolation_level=level,
        request_timeout=TIMEOUT_SECONDS,
    )
    return {(part.topic, part.partition): found.result().offset for part, found in asked.items()}


def _first_records(bootstrap: str, parts: list[TopicPartition]) -> list[Endless]:
    """What is open in these partitions, whose offsets are those of their first open records."""
    if not parts:
        return []
    consumer = Consumer(
        {
            **librdkafka_settings(bootstrap),
            "group.id": "portalbus-relay-position",
            "isolation.level": "read_uncommitted",
            "enable.auto.commit": False,
        }
    )
    try:
        return [Endless(part.topic, part.partition, _position_at(consumer, part)) for part in parts]
    finally:
        consumer.close()


def _position_at(consumer: Consumer, part: TopicPartition) -> int:
    consumer.assign([part])
    message = consumer.poll(TIMEOUT_SECONDS)
    if message is None:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"{part.topic} was not read at {part.offset}"))
    if message.error() is not None:
        raise KafkaException(message.error())
    if part.topic == RELAY_POSITION:
        return int(message.value() or 0)
    headers = message.headers()
    return int(dict(headers if isinstance(headers, list) else []).get(POSITION_HEADER) or 0)
