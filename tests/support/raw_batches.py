"""Record batches as these very bytes, past every client: what no client would send, or a broker has not finished."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.memory_records import MemoryRecords
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry

from portalbus.infra.stack import Stack
from portalbus.streams.relaying.outgoing import Message


def send_raw(bootstrap: str, topic: str, batch: bytes, *, partition: int = 0, transactional_id: str = "") -> None:
    """Kafka's Produce request, version 3; asserts that the broker takes it."""
    name, by = topic.encode(), transactional_id.encode()
    data = struct.pack(">i", partition) + struct.pack(">i", len(batch)) + batch
    body = struct.pack(">h", len(by) if by else -1) + by
    body += struct.pack(">hi", -1, 10_000) + struct.pack(">i", 1) + struct.pack(">h", len(name)) + name
    body += struct.pack(">i", 1) + data
    head = struct.pack(">hhih", 0, 3, 1, 4) + b"test"
    host, port = bootstrap.rsplit(":", 1)
    with closing(socket.create_connection((host, int(port)), 10)) as broker:
        broker.sendall(struct.pack(">i", len(head + body)) + head + body)
        answer = broker.recv(4_096)
    error = struct.unpack(">h", answer[8 + 4 + 2 + len(name) + 4 + 4 :][:2])[0]
    assert error == 0, f"the broker refused the batch: {error}"


class _Writer(NamedTuple):
    """A producer, as a partition's log knows it, and the number of its next record there."""

    producer_id: int
    epoch: int
    sequence: int


class OpenTransaction:
    """What a relay has sent, of which the broker has forgotten to write the end; the relay itself is gone."""

    def __init__(self, stack: Stack, transactional_id: str, known_by: str) -> None:
        """`known_by` is a topic of one partition in which that relay has written last."""
        self._stack, self._transactional_id = stack, transactional_id
        self._writer = self._last_in(known_by, 0)
        # Only a broker that loses ends of transactions has such records: this one has to be talked into taking them.
        admin = AdminClient({"bootstrap.servers": stack.endpoints.bootstrap})
        entry = ConfigEntry(
            "transaction.partition.verification.enable", "false", incremental_operation=AlterConfigOpType.SET
        )
        broker = ConfigResource(ResourceType.BROKER, "1", incremental_configs=[entry])
        admin.incremental_alter_configs([broker])[broker].result(30)

    def send(self, topic: str, messages: Iterable[Message]) -> list[TopicPartition]:
        """Sends these to the first partition of a topic; returns where they lie."""
        found, known = list(messages), self._last_in(topic, 0)
        sequence = known.sequence if known.epoch == self._writer.epoch else 0
        builder = _DefaultRecordBatchBuilderPy(
            2, 0, 1, self._writer.producer_id, self._writer.epoch, sequence, 1_000_000
        )
        for offset, message in enumerate(found):
            headers = [(name, value.encode() if isinstance(value, str) else value) for name, value in message.headers]
            assert builder.append(offset, 0, message.key, message.value, headers)
        first = self._end_of(topic)
        bootstrap = self._stack.endpoints.bootstrap
        send_raw(bootstrap, topic, bytes(builder.build()), transactional_id=self._transactional_id)
        return [TopicPartition(topic, 0, first + offset) for offset in range(len(found))]

    def _log(self, topic: str, partition: int) -> bytes:
        (log,) = Path(self._stack.kafka.data, f"{topic}-{partition}").glob("*.log")
        return log.read_bytes()

    def _end_of(self, topic: str) -> int:
        end, records = 0, MemoryRecords(self._log(topic, 0))
        while (batch := records.next_batch()) is not None:
            end = batch.next_offset
        return end

    def _last_in(self, topic: str, partition: int) -> _Writer:
        found, records = _Writer(-1, -1, 0), MemoryRecords(self._log(topic, partition))
        while (batch := records.next_batch()) is not None:
            if not batch.is_control_batch:
                after = batch.base_sequence + batch.next_offset - batch.base_offset
                found = _Writer(batch.producer_id, batch.producer_epoch, after)
        return found
