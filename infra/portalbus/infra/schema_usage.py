"""Which source still sends which version of which contract: measured on the newest records of every lane."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from portalbus.infra.record_reading import RecordReader
from portalbus.schemas import avro_files
from portalbus.schemas.errors import RegistryRefused, UndecodableRecord
from portalbus.schemas.kafka_settings import librdkafka_settings
from portalbus.schemas.registry import SchemaRegistry
from portalbus.schemas.topics import agency_of, is_lane

TIMEOUT_S = 15.0
FRAME = struct.Struct(">bI")


@dataclass(frozen=True, slots=True)
class Usage:
    """What one source sends of one contract; `version` is 0 for one that does not ship with this package."""

    agency: str
    portal: str
    record: str
    version: int
    newest: int
    records: int
    last_at: datetime

    @property
    def is_behind(self) -> bool:
        """Whether it sends an older version than the one in force."""
        return self.version != self.newest


def schema_usage(bootstrap: str, registry_url: str, agencies: Iterable[str] = (), last: int = 500) -> list[Usage]:
    """The usage among the last so many records of each lane, by source. Raises KafkaException, RegistryUnavailable.

    Records that cannot be read are passed over: `portalbus parked list` has them.
    """
    registry = SchemaRegistry(registry_url)
    reader, versions = RecordReader(registry), _versions(registry)
    found: dict[tuple[str, str, str, int], tuple[int, datetime]] = {}
    for message in _newest(bootstrap, frozenset(agencies), last):
        value = message.value()
        try:
            name, fields = reader.read(value)
        except UndecodableRecord:
            continue
        said = fields.get("envelope", fields)
        _, schema_id = FRAME.unpack_from(value or b"")
        key = (agency_of(message.topic() or ""), str(said.get("portal", "")), name, versions.get(schema_id, 0))
        at = datetime.fromtimestamp(message.timestamp()[1] / 1_000, UTC)
        count, before = found.get(key, (0, at))
        found[key] = (count + 1, max(at, before))
    return [
        Usage(agency, portal, name, version, avro_files.current(name).version, *found[agency, portal, name, version])
        for agency, portal, name, version in sorted(found)
    ]


def _versions(registry: SchemaRegistry) -> dict[int, int]:
    """Versions by the ids that this registry gave them."""
    found = {}
    for name in avro_files.LANE_TYPES:
        for file in avro_files.history(name):
            try:
                found[registry.lookup(file.subject, json.dumps(file.raw))] = file.version
            except RegistryRefused:
                continue  # never registered, so nobody sends it
    return found


def _newest(bootstrap: str, agencies: frozenset[str], last: int) -> Iterator[Message]:
    consumer = Consumer(
        {
            **librdkafka_settings(bootstrap),
            "group.id": "portalbus-schemas-usage",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 2,
        }
    )
    try:
        topics = consumer.list_topics(timeout=TIMEOUT_S).topics
        lanes = [name for name in topics if is_lane(name) and (not agencies or agency_of(name) in agencies)]
        places = []
        for lane in lanes:
            low, high = consumer.get_watermark_offsets(TopicPartition(lane, 0), timeout=TIMEOUT_S)
            if high > low:
                places.append(TopicPartition(lane, 0, max(low, high - last)))
        consumer.assign(places)
        open_lanes = {place.topic for place in places}
        while open_lanes:
            message = consumer.poll(TIMEOUT_S)
            if message is None:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "the lanes were not read to their ends"))
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                open_lanes.discard(message.topic() or "")
            else:
                raise KafkaException(error)
    finally:
        consumer.close()
