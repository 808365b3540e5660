"""The broker of the simulation: lanes that portals write to, topics that the relay writes to in transactions.

Its two producers stand where librdkafka's stand, and answer as those do: in order, late, with an error, or never.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple
from unittest.mock import patch

from confluent_kafka import KafkaError, KafkaException

from portalbus.producers import delivery
from portalbus.producers.settings import Settings
from portalbus.schemas.avro_files import CENTRE_TYPES
from portalbus.streams.ledger.hearing import MARGIN
from portalbus.streams.records import LaneRecord
from portalbus.streams.relaying import sender
from simulator.clock import EPOCH, SimClock

Headers = Sequence[tuple[str, str | bytes | None]]
QUEUE_ROWS = 12
CENTRE_SCHEMAS = {name: number for number, name in enumerate(CENTRE_TYPES, start=90)}
"""Schema ids of what the centre says."""
PARTITIONS = 3
RUBBISH = b"?"
"""Key of what no portal has written."""


class Sent(NamedTuple):
    """A record on its way to a lane."""

    key: bytes
    value: bytes
    headers: Headers
    answered: Callable[[KafkaError | None], None]


@dataclass
class Committed:
    """A message that a `read_committed` reader finds."""

    key: bytes
    value: bytes
    headers: dict[str, bytes]


@dataclass
class Broker:
    """Lanes and topics."""

    clock: SimClock
    lanes: dict[str, list[LaneRecord]] = field(default_factory=dict)
    landed: set[str] = field(default_factory=set)
    """The event ids that stand in the headers of what lies on the lanes."""
    committed: int = 0
    """How many transactions the relays have committed."""
    topics: dict[tuple[str, int], list[Committed]] = field(default_factory=dict)
    ghosts: list[tuple[str, deque[Sent]]] = field(default_factory=list)
    """What producers that are gone had on the wire: it may still land, in its order."""
    relay_epoch: int = 0
    behind: float = 0.0
    """How many milliseconds the broker's clock is behind the true one."""
    stamped_behind: set[tuple[str, int]] = field(default_factory=set)
    """What it wrote, by agency and offset, while it was further behind than the centre allows for."""

    def lay(self, topic: str, sent: Sent) -> LaneRecord:
        """Writes one record at the end of a lane."""
        lane = self.lanes.setdefault(topic, [])
        headers = tuple((name, value if isinstance(value, bytes) else b"") for name, value in sent.headers)
        now = round((self.clock.true - EPOCH).total_seconds() * 1000 - self.behind)
        self.landed.update(value.decode() for name, value in headers if name == "ce_id")
        agency = topic.removeprefix("lane.")
        if timedelta(milliseconds=self.behind) > MARGIN:
            self.stamped_behind.add((agency, len(lane)))
        lane.append(LaneRecord(topic, agency, len(lane), now, sent.key, sent.value, headers))
        return lane[-1]

    def commit(self, messages: Sequence[tuple[str, int, Committed]]) -> list[int]:
        """Writes a whole transaction; returns the offsets."""
        offsets = []
        self.committed += 1
        for topic, partition, message in messages:
            log = self.topics.setdefault((topic, partition), [])
            log.append(message)
            offsets.append(len(log) - 1)
        return offsets


class SimLaneWriter:
    """Stands where `LaneWriter` stands. The world moves what it holds: over the wire, and back as answers."""

    broker: Broker

    def __init__(self, settings: Settings, topic: str, on_error: Callable[[KafkaError], None]) -> None:
        self.topic = topic
        self.waiting: deque[Sent] = deque()
        self.answers: deque[tuple[Sent, KafkaError | None]] = deque()
        self.failed: KafkaError | None = None

    def send(self, key: bytes, value: bytes, headers: Headers, answered: Callable[[KafkaError | None], None]) -> bool:
        """Takes a record, unless its queue is full."""
        if len(self.waiting) >= QUEUE_ROWS:
            return False
        if self.failed is not None:  # the broker takes nothing out of its turn: what was before this has failed
            self.answers.append((Sent(key, value, headers, answered), self.failed))
            return True
        self.waiting.append(Sent(key, value, headers, answered))
        return True

    def poll(self, seconds: float) -> None:
        """Gives the answers that have come."""
        while self.answers:
            sent, error = self.answers.popleft()
            sent.answered(error)

    def close(self) -> None:
        """Gives the rest up; some of it may be on the wire already."""
        self.poll(0)
        rest = self.give_up()
        for sent in rest:
            sent.answered(KafkaError(KafkaError._PURGE_QUEUE))

    def leave_behind(self) -> None:
        """Nothing to do: nobody forks here."""

    def give_up(self) -> deque[Sent]:
        """Nothing more is sent from here; what was on the wire becomes a ghost."""
        rest, self.waiting = self.waiting, deque()
        if rest:
            self.broker.ghosts.append((self.topic, deque(rest)))
        return rest

    # What the world does with it.

    def land(self, count: int) -> list[LaneRecord]:
        """The broker takes the next records."""
        laid = []
        for _ in range(min(count, len(self.waiting))):
            sent = self.waiting.popleft()
            laid.append(self.broker.lay(self.topic, sent))
            self.answers.append((sent, None))
        return laid

    def lose_one(self) -> str | None:
        """The broker acknowledges the next record and forgets it; its event id, if it is an event."""
        if not self.waiting:
            return None
        sent = self.waiting.popleft()
        self.answers.append((sent, None))
        event_id = dict(sent.headers).get("ce_id")
        return event_id.decode() if isinstance(event_id, bytes) else None

    def fail(self, code: int, *, unheard: int = 0) -> list[LaneRecord]:
        """The connection breaks for good: no answer arrives any more, and `unheard` more records have landed."""
        laid = self.land(unheard)
        gone = [sent for sent, _ in self.answers] + list(self.waiting)
        self.failed = KafkaError(code)
        self.answers = deque((sent, self.failed) for sent in gone)
        self.waiting.clear()
        return laid


class SimProducer:
    """Stands where the relay's transactional producer stands."""

    broker: Broker
    dies_after_commit: bool = False

    def __init__(self, config: dict[str, Any]) -> None:
        self._epoch = 0
        self._open: list[tuple[str, int, Committed, Callable[[Any, Any], None] | None]] = []

    def init_transactions(self, seconds: float) -> None:
        """Fences every older producer of this id."""
        self.broker.relay_epoch += 1
        self._epoch = self.broker.relay_epoch

    def begin_transaction(self) -> None:
        """A transaction begins; what was open is aborted."""
        self._open = []

    def produce(self, topic: str, value: bytes, key: bytes, **more: Any) -> None:
        """One message of the transaction."""
        partition = more.get("partition")
        if partition is None:
            partition = zlib.crc32(key) % PARTITIONS if topic.startswith("central.") else 0
        headers = dict(more.get("headers") or ())
        self._open.append((topic, partition, Committed(key, value, headers), more.get("on_delivery")))

    def poll(self, seconds: float) -> None:
        """Nothing happens before the commit."""

    def commit_transaction(self, seconds: float) -> None:
        """All of it becomes visible, or nothing."""
        if self._epoch != self.broker.relay_epoch:
            raise KafkaException(KafkaError(KafkaError._FENCED))
        offsets = self.broker.commit([message[:3] for message in self._open])
        if SimProducer.dies_after_commit:
            SimProducer.dies_after_commit = False
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        for (topic, partition, _, told), offset in zip(self._open, offsets, strict=True):
            if told is not None:
                told(None, _Delivered(topic, partition, offset))


@dataclass
class _Delivered:
    """What a delivery report says."""

    of_topic: str
    of_partition: int
    at_offset: int

    def topic(self) -> str:
        return self.of_topic

    def partition(self) -> int:
        return self.of_partition

    def offset(self) -> int:
        return self.at_offset


def words(value: bytes | None) -> str:
    """A digest of a value, to compare without keeping it."""
    return hashlib.blake2b(value or b"", digest_size=8).hexdigest()


@contextmanager
def connected(broker: Broker) -> Iterator[None]:
    """The product's producers write to this broker while inside."""
    SimLaneWriter.broker = SimProducer.broker = broker
    SimProducer.dies_after_commit = False
    with patch.object(delivery, "LaneWriter", SimLaneWriter), patch.object(sender, "Producer", SimProducer):
        yield
