"""What `central.alert` holds, as a reader of committed records sees it."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from fastavro import schemaless_reader

from portalbus.schemas import avro_files
from portalbus.schemas.codec import unframe
from portalbus.schemas.notices import Alert
from portalbus.schemas.topics import ALERTS

PARTITIONS = 3


class AlertTopic:
    """Reads on where it stopped; alerts of one agency come in their order."""

    def __init__(self, bootstrap: str) -> None:
        self._consumer = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": "alert-topic", "isolation.level": "read_committed"}
        )
        self._consumer.assign([TopicPartition(ALERTS, number, OFFSET_BEGINNING) for number in range(PARTITIONS)])
        self._found: list[Alert] = []

    def of_kind(self, kind: str) -> list[Alert]:
        """Every alert of a kind so far."""
        while (message := self._consumer.poll(0.2)) is not None:
            if message.error() is None:
                _, body = unframe(message.value())
                raw: Any = schemaless_reader(BytesIO(body), avro_files.parsed("Alert"), None)
                self._found.append(Alert.model_validate(raw))
        return [alert for alert in self._found if alert.kind == kind]

    def close(self) -> None:
        """Closes the consumer."""
        self._consumer.close()
