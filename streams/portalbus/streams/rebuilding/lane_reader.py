"""Reads lanes from any offset on, many at once, in the order in which somebody asks for their records."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import methodcaller
from types import TracebackType
from typing import Protocol, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from portalbus.schemas.kafka_settings import librdkafka_settings
from portalbus.schemas.topics import lane_of
from portalbus.streams.records import LaneRecord

FULL_BYTES = 2_000_000
"""A lane of which so much lies here unasked for is not read on until it is asked for."""

FETCH = 200
"""Records taken at once: with the largest that a lane takes, 200 MB."""
HEADERS: Callable[[Message], Sequence[tuple[str, bytes | str | None]] | Mapping[str, bytes | str | None] | None]
HEADERS = methodcaller("headers")
"""Calls it in the way that looks at what comes back. For a name that is no UTF-8 the client returns half a list and
sets an exception; CPython's shortened call of a method that runs often passes that over, and anything later fails."""
PATIENCE_SECONDS = 30.0


class LaneIncomplete(Exception):
    """A lane does not hold all records that the ledger has judged."""


class Lanes(Protocol):
    """Where the records of the lanes can be read again."""

    def take(self, agency: str, first: int, after: int) -> Sequence[LaneRecord]:
        """The records of a lane from `first` up to but not including `after`, where the last ones taken ended."""


@dataclass(slots=True)
class _Lane:
    records: deque[LaneRecord] = field(default_factory=deque)
    size: int = 0
    paused: bool = False


class LaneReader:
    """Gives out the records of lanes, each lane in its order. Memory is bounded by some MB a lane.

    Joins no consumer group, so nobody's lanes move because of it.
    """

    def __init__(self, bootstrap: str) -> None:
        self._consumer = Consumer(
            {
                **librdkafka_settings(bootstrap),
                "group.id": "portalbus-rebuild",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "queued.max.messages.kbytes": 16_384,
                "fetch.message.max.bytes": 1_000_000,
            }
        )
        self._lanes: dict[str, _Lane] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def take(self, agency: str, first: int, after: int) -> list[LaneRecord]:
        """The records of a lane from `first` up to but not including `after`, where the last ones taken ended.

        Raises LaneIncomplete when the broker does not have them any more, KafkaException when it does not answer.
        """
        lane = self._lane(agency, first)
        taken: list[LaneRecord] = []
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(taken) < after - first:
            if not lane.records:
                self._resume(agency, lane)
                if self._fetch() == 0 and time.monotonic() > deadline:
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"{lane_of(agency)} does not go on"))
                continue
            deadline = time.monotonic() + PATIENCE_SECONDS
            record = lane.records.popleft()
            lane.size -= len(record.value or b"")
            if record.offset != first + len(taken):
                raise LaneIncomplete(
                    f"{record.lane}: record {first + len(taken)} is gone, the next one is {record.offset}; "
                    "without it nothing can be rebuilt"
                )
            taken.append(record)
        return taken

    def _lane(self, agency: str, first: int) -> _Lane:
        lane = self._lanes.get(agency)
        if lane is None:
            place = TopicPartition(lane_of(agency), 0, first)
            low, high = self._consumer.get_watermark_offsets(place, timeout=PATIENCE_SECONDS)
            if not low <= first <= high:
                raise LaneIncomplete(
                    f"{place.topic} holds records {low} to {high - 1}, the ledger has judged those from {first} on"
                )
            lane = self._lanes[agency] = _Lane()
            self._consumer.incremental_assign([place])
        return lane

    def _resume(self, agency: str, lane: _Lane) -> None:
        """Reads a lane on of which nothing lies here any more, also in the middle of what is asked for."""
        if lane.paused:
            lane.paused = False
            self._consumer.resume([TopicPartition(lane_of(agency), 0)])

    def _fetch(self) -> int:
        messages = self._consumer.consume(FETCH, 0.2)
        for message in messages:
            if (error := message.error()) is not None:
                raise KafkaException(error)
            self._put(_record(message))
        return len(messages)

    def _put(self, record: LaneRecord) -> None:
        lane = self._lanes[record.agency]
        lane.records.append(record)
        lane.size += len(record.value or b"")
        if lane.size > FULL_BYTES and not lane.paused:
            lane.paused = True
            self._consumer.pause([TopicPartition(record.lane, 0)])


def _record(message: Message) -> LaneRecord:
    lane, offset = message.topic() or "", message.offset()
    key, value = message.key(), message.value()
    assert offset is not None  # noqa: S101 - a message that was read has its offset
    return LaneRecord(
        lane,
        lane.removeprefix("lane."),
        offset,
        message.timestamp()[1],
        key.encode() if isinstance(key, str) else key,
        value.encode() if isinstance(value, str) else value,
        _headers(message),
    )


def _headers(message: Message) -> tuple[tuple[str, bytes], ...]:
    """The headers; none where a name is no UTF-8, which Kafka takes and the client cannot give out."""
    try:
        found = HEADERS(message) or []
    except (SystemError, UnicodeDecodeError):
        return ()
    pairs = found.items() if isinstance(found, Mapping) else found
    return tuple((name, value.encode() if isinstance(value, str) else value or b"") for name, value in pairs)
