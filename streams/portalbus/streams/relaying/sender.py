"""One Kafka transaction per batch of the ledger, under the one transactional id that fences every older relay."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer

from portalbus.schemas.kafka_settings import ONE_REQUEST_AT_A_TIME, librdkafka_settings
from portalbus.schemas.topics import RELAY_POSITION
from portalbus.streams.ledger.database import CalledOff
from portalbus.streams.relaying.endless import Endless
from portalbus.streams.relaying.outgoing import Message, Outgoing, messages_of
from portalbus.streams.relaying.sent_before import Named

log = structlog.get_logger(__name__)

TRANSACTIONAL_ID = "portalbus-relay"
TRANSACTION_TIMEOUT_MS = 30_000
TOPIC_APPEARS_MS = 10_000
"""How long a topic that the broker does not know may still be on its way. By itself librdkafka waits as long as for a
message at all, and then says the one or the other: that the topic is missing has to come first."""
INIT_TIMEOUT_SECONDS = 60.0
COMMIT_SLICE_SECONDS = 2.0
"""A commit goes on for as long as it takes; so often it is looked whether it is still wanted."""
UNDO_TIMEOUT_SECONDS = 30.0
QUEUE_MESSAGES = 50_000
MEND = {
    KafkaError._UNKNOWN_TOPIC: "make the topic: portalbus prepare, or portalbus topics apply --agency <code>",
    KafkaError.UNKNOWN_TOPIC_OR_PART: "make the topic: portalbus prepare, or portalbus topics apply --agency <code>",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "give the relay's login the right to write it",
}
"""What an operator can do when a topic refuses; nothing goes out to anybody until it is done."""

Known = Callable[[Collection[Named]], Collection[Named]]
"""Which of these messages were sent before."""


def nothing_known(_: Collection[Named]) -> Collection[Named]:
    """Nothing was sent before: no backup was ever put back."""
    return ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message of a position lies."""

    position: int
    topic: str
    partition: int
    offset: int


@dataclass(slots=True)
class Sender:
    """A transactional producer for the relay; `schemas` holds the ids of what the centre says, by record.

    Anything that goes wrong is raised; the process starts anew then. Once `ended` says so, a broker that is away is not
    waited for.
    """

    bootstrap: str
    schemas: Mapping[str, int]
    ended: Callable[[], bool] = lambda: False
    _producer: Producer = field(init=False)
    _refused: set[str] = field(init=False, default_factory=set)

    def open(self) -> None:
        """Takes the transactional id: from here on an older relay can commit nothing. Raises KafkaException."""
        self._producer = Producer(
            {
                **librdkafka_settings(self.bootstrap),
                **ONE_REQUEST_AT_A_TIME,
                "transactional.id": TRANSACTIONAL_ID,
                "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
                "partitioner": "murmur2_random",
                "compression.type": "lz4",
                "linger.ms": 2,
                "queue.buffering.max.messages": QUEUE_MESSAGES,
                "topic.metadata.propagation.max.ms": TOPIC_APPEARS_MS,
            }
        )
        self._producer.init_transactions(INIT_TIMEOUT_SECONDS)

    def undo(self, parts: Sequence[Endless]) -> None:
        """Ends what is open in these partitions as if it had never been sent. Raises KafkaException."""
        failed: list[KafkaError] = []

        def on_delivery(error: KafkaError | None, _: Any) -> None:
            if error is not None:
                failed.append(error)

        self._producer.begin_transaction()
        for part in parts:
            self._producer.produce(part.topic, b"", b"", part.partition, on_delivery=on_delivery)
        if self._producer.flush(UNDO_TIMEOUT_SECONDS) or failed:
            raise KafkaException(failed[0] if failed else KafkaError(KafkaError._TIMED_OUT))
        self._producer.abort_transaction(UNDO_TIMEOUT_SECONDS)

    def send(self, batch: Sequence[Outgoing], known: Known = nothing_known) -> list[Place]:
        """Sends what these positions hold and the relay's new position, all or nothing.

        What `known` names was sent before a backup was put back, and is not sent again. Raises KafkaException; and
        CalledOff, which leaves all of it for the next relay: that takes the transactional id, and so undoes what was
        begun.
        """
        places: list[Place] = []
        found = [(outgoing.position, message) for outgoing in batch for message in messages_of(outgoing, self.schemas)]
        before = known({(message.topic, message.name) for _, message in found if message.name is not None})
        producer = self._producer
        self._refused.clear()
        producer.begin_transaction()
        for position, message in found:
            if (message.topic, message.name) not in before:
                self._produce(message, self._placed(position, places))
        producer.produce(RELAY_POSITION, str(batch[-1].position).encode(), b"relay", partition=0)
        self._commit()
        return places

    def _produce(self, message: Message, on_delivery: Any) -> None:
        self._producer.produce(
            message.topic, message.value, message.key, headers=message.headers, on_delivery=on_delivery
        )
        self._producer.poll(0)

    def _commit(self) -> None:
        while True:
            try:
                self._producer.commit_transaction(COMMIT_SLICE_SECONDS)
                return
            except KafkaException as error:
                if not error.args[0].retriable():
                    self._producer.poll(0)  # which topic refused, before all is given up
                    raise
                if self.ended():
                    raise CalledOff from error
                log.warning("relay.commit-retried", error=error.args[0].name())

    def _placed(self, position: int, places: list[Place]) -> Any:
        def on_delivery(error: Any, message: Any) -> None:
            if error is None:
                places.append(Place(position, message.topic(), message.partition(), message.offset()))
            elif (mend := MEND.get(error.code())) is not None and message.topic() not in self._refused:
                self._refused.add(message.topic())
                log.error("relay.topic-refused", topic=message.topic(), error=error.name(), mend=mend)

        return on_delivery
