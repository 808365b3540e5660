"""A Kafka client without manners: it sends the requests that it is told to, and asks nobody first whether it may.

librdkafka asks for a topic's metadata and gives up when those are refused, so that the broker is never asked the
question that matters. Here it is.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import for_code
from aiokafka.protocol.admin import DeleteRecordsRequest
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

NODE = 1
NOBODY = -1
"""The producer id of who is not idempotent."""
PATIENCE_MS = 30_000


class Record(NamedTuple):
    """What is put on a topic."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


class BareClient:
    """Speaks as whoever these librdkafka properties of a certificate name; answers are names of Kafka's errors.

    `NoError` is one of them: the broker did what it was asked for.
    """

    def __init__(self, bootstrap: str, properties: Mapping[str, str]) -> None:
        self._bootstrap = bootstrap
        self._context = tls_context(properties)

    async def __aenter__(self) -> Self:
        self._client = AIOKafkaClient(
            bootstrap_servers=self._bootstrap, security_protocol="SSL", ssl_context=self._context
        )
        await self._client.bootstrap()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def produce(self, topic: str, record: Record, producer: int = NOBODY, transaction: str | None = None) -> str:
        """Puts a record on partition 0 of a topic, as an idempotent producer or in a transaction where one is given."""
        batch = batch_of(record, producer, transactional=transaction is not None)
        answer = await self._ask(ProduceRequest(transaction, -1, PATIENCE_MS, [(topic, [(0, batch)])]))
        return _said(answer.topics[0][1][0][1])

    async def idempotent_producer(self) -> int:
        """The id of a new idempotent producer, which everybody gets who may write anything."""
        answer = await self._ask(InitProducerIdRequest(None, PATIENCE_MS))
        assert _said(answer.error_code) == "NoError"
        return int(answer.producer_id)

    async def fetch(self, topic: str) -> str:
        """Reads partition 0 of a topic from its beginning."""
        answer = await self._ask(FetchRequest(100, 1, 1_000_000, 0, [(topic, [(0, 0, 1_000_000)])]))
        return _said(answer.topics[0][1][0][1])

    async def commit(self, group: str, topic: str) -> str:
        """Says how far a group has read a topic."""
        answer = await self._ask(OffsetCommitRequest(group, -1, "", -1, [(topic, [(0, 0, "")])]))
        return _said(answer.topics[0][1][0][1])

    async def delete_records(self, topic: str) -> str:
        """Deletes everything that a topic holds."""
        answer = await self._ask(DeleteRecordsRequest([(topic, [(0, -1)])], PATIENCE_MS))
        return _said(answer.topics[0][1][0][2])

    async def begin_transactions(self, transactional_id: str) -> str:
        """Takes a transactional id over from whoever uses it."""
        answer = await self._ask(InitProducerIdRequest(transactional_id, PATIENCE_MS))
        return _said(answer.error_code)

    async def _ask(self, request: Any) -> Any:
        return await self._client.send(NODE, request)


def batch_of(record: Record, producer: int, *, transactional: bool) -> bytes:
    """A record as a batch of Kafka's format 2, the first one of its producer."""
    first = -1 if producer == NOBODY else 0
    builder = DefaultRecordBatchBuilder(2, 0, transactional, producer, first, first, 1 << 20)
    assert builder.append(0, int(time.time() * 1_000), *record) is not None
    return bytes(builder.build())


def tls_context(properties: Mapping[str, str]) -> ssl.SSLContext:
    """What these librdkafka properties of a certificate say, for Python's own TLS."""
    context = ssl.create_default_context(cafile=properties["ssl.ca.location"])
    context.load_cert_chain(properties["ssl.certificate.location"], properties["ssl.key.location"])
    return context


def _said(code: int) -> str:
    return str(for_code(code).__name__)
