"""What stands on one agency's lane, read on from where the last look ended."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from portalbus.schemas import avro_files
from portalbus.schemas.codec import Decoded, Misshapen, WriterSchemas, read
from portalbus.schemas.errors import UndecodableRecord
from portalbus.schemas.kafka_settings import librdkafka_settings
from portalbus.schemas.models import Envelope, Payload
from portalbus.schemas.registry import SchemaRegistry
from portalbus.schemas.topics import lane_of

PATIENCE_SECONDS = 10.0
LOOK_SECONDS = 0.05
MOST_AT_ONCE = 500
QUIET = logging.getLogger("portalbus.conformance.librdkafka")
QUIET.addHandler(logging.NullHandler())
QUIET.propagate = False


@dataclass(frozen=True)
class Arrived:
    """One record of the lane; without an event when it cannot be read as one, and `rule` says why."""

    key: str
    envelope: Envelope | None = None
    payload: Payload | None = None
    rule: str = ""


class LaneView:
    """Reads a lane. Not for several threads. Raises KafkaException while the broker is away."""

    def __init__(self, bootstrap: str, registry_url: str, agency: str) -> None:
        self._writers = _writers(SchemaRegistry(registry_url))
        self._arrived: list[Arrived] = []
        self._consumer = Consumer(
            {
                **librdkafka_settings(bootstrap, {}),
                "group.id": "portalbus-conformance",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 20,
                "log_level": 0,
            },
            logger=QUIET,
        )
        topic = lane_of(agency)
        parts = self._consumer.list_topics(topic, timeout=PATIENCE_SECONDS).topics[topic].partitions
        self._consumer.assign([TopicPartition(topic, number, 0) for number in parts])

    def look(self) -> list[Arrived]:
        """Everything that has arrived so far, each partition in its order."""
        while messages := self._consumer.consume(MOST_AT_ONCE, LOOK_SECONDS):
            for message in messages:
                error = message.error()
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                if error is None and (arrived := self._read(message)) is not None:
                    self._arrived.append(arrived)
        return list(self._arrived)

    def close(self) -> None:
        """Lets go of the connection."""
        self._consumer.close()

    def _read(self, message: Message) -> Arrived | None:
        """None for a manifest or a canary: the bus's own ways of speaking."""
        raw = message.key() or b""
        key = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
        try:
            content = read(message.value(), self._writers)
        except UndecodableRecord as refused:
            return Arrived(key, rule=refused.rule)
        if isinstance(content, Decoded):
            known = content.event.payload.event_type == "Canary"
            return None if known else Arrived(key, content.event.envelope, content.event.payload)
        if isinstance(content, Misshapen):
            return Arrived(key, content.envelope, rule=content.findings[0].rule)
        return None


def _writers(registry: SchemaRegistry) -> WriterSchemas:
    files = [file for name in avro_files.LANE_TYPES for file in avro_files.history(name)]
    return WriterSchemas({registry.lookup(file.subject, file.text): (file.name, file.raw) for file in files})
