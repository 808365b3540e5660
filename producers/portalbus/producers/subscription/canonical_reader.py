"""Reading the canonical topics: several partitions, given out as one row in ledger order."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from portalbus.producers.subscription.ledger_order import LedgerOrder
from portalbus.producers.subscription.place import Place
from portalbus.schemas.headers import POSITION_HEADER

HELD_MOST = 2_000
"""Records of one partition in hand before its reading rests."""

READ_MOST = 500
POLL_SECONDS = 0.1
ANSWER_SECONDS = 10.0

LIBRDKAFKA = logging.getLogger("portalbus.librdkafka")
LIBRDKAFKA.addHandler(logging.NullHandler())

Part = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Record:
    """A record in hand; without its message when it is not for this subscriber."""

    position: int
    next_offset: int
    message: Message | None


class CanonicalReader:
    """Reads these topics from these places on, committed records alone. Not for several threads.

    `sources` are beginnings of the `ce_source` header; without any, everything is for this subscriber. Raises
    KafkaException while the broker is away.
    """

    def __init__(
        self,
        kafka: Mapping[str, str],
        topics: Collection[str],
        places: Mapping[str, Place],
        sources: tuple[bytes, ...] = (),
    ) -> None:
        self._sources = sources
        self._resting: set[Part] = set()
        self._consumer = Consumer(_consumer_config(kafka), logger=LIBRDKAFKA)
        try:
            parts = [part for topic in topics for part in self._partitions(topic)]
            starts = {part: places[name_of(part)].offset if name_of(part) in places else 0 for part in parts}
            self._consumer.assign([TopicPartition(*part, offset) for part, offset in starts.items()])
        except BaseException:
            self._consumer.close()
            raise
        self._order: LedgerOrder[Part, Record] = LedgerOrder(starts)
        self._admin = AdminClient(dict(kafka), logger=LIBRDKAFKA)

    def next(self, most: int) -> Iterable[tuple[Part, Record]]:
        """The next records in ledger order, at most so many; none when nothing came for a moment."""
        self._read_on()
        if self._order.asks_for_ends:
            self._order.ends_are(self._ends())
        return self._order.give_out(most)

    def behind(self) -> int:
        """How many offsets lie between what was given out and the ends."""
        return self._order.held + sum(max(end - self._order.place_of(part), 0) for part, end in self._ends().items())

    def close(self) -> None:
        """Lets go of the connections."""
        self._consumer.close()

    def _partitions(self, topic: str) -> list[Part]:
        known = self._consumer.list_topics(topic, timeout=ANSWER_SECONDS).topics[topic]
        if known.error is not None:
            raise KafkaException(known.error)
        return [(topic, number) for number in known.partitions]

    def _read_on(self) -> None:
        self._rest(set(self._order.full(HELD_MOST)))
        for message in self._consumer.consume(READ_MOST, POLL_SECONDS):
            part = (message.topic() or "", message.partition() or 0)
            offset = message.offset() or 0
            error = message.error()
            if error is None:
                headers = dict(headers_of(message))
                mine = not self._sources or (headers.get("ce_source") or b"").startswith(self._sources)
                position = int(headers.get(POSITION_HEADER) or 0)
                self._order.read(part, Record(position, offset + 1, message if mine else None), offset + 1)
            elif error.code() == KafkaError._PARTITION_EOF:
                self._order.read_to(part, offset)
            else:
                raise KafkaException(error)

    def _rest(self, full: set[Part]) -> None:
        """Stops reading partitions of which enough is in hand, and goes on with those that were given out."""
        if more := full - self._resting:
            self._consumer.pause([TopicPartition(*part) for part in more])
        if free := self._resting - full:
            self._consumer.resume([TopicPartition(*part) for part in free])
        self._resting = full

    def _ends(self) -> dict[Part, int]:
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = {TopicPartition(*part): latest for part in self._order.parts}
        # Uncommitted ends: the markers of one transaction reach its partitions one after another, so the end of what
        # is committed may still lie before a record of a transaction that is committed elsewhere.
        answers = self._admin.list_offsets(asked, request_timeout=ANSWER_SECONDS)
        return {(part.topic, part.partition): answer.result().offset for part, answer in answers.items()}


def name_of(part: Part) -> str:
    """A partition's name, as places are kept by: `central.feedback-received/2`."""
    return f"{part[0]}/{part[1]}"


def headers_of(message: Message) -> list[tuple[str, bytes | None]]:
    """The headers of a record; none where it has none."""
    found: Any = message.headers()
    return found or []


def _consumer_config(kafka: Mapping[str, str]) -> dict[str, Any]:
    """Assigned, never in a group; only what is committed."""
    return {
        "group.id": "portalbus-subscription",
        "fetch.wait.max.ms": 100,
        "queued.max.messages.kbytes": 16_384,
        **kafka,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
    }
