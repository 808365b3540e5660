"""What is new on a real bus, read again and again while everything on it is being broken."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition
from psycopg import Connection, IsolationLevel

from history_checker import HistoryTail
from history_recorder import decided_lines, laid, outgoing_topics, sent
from history_report import Line
from portalbus.infra.bus.addresses import Addresses
from portalbus.schemas.registration import SchemaIds
from portalbus.schemas.registry import SchemaRegistry
from portalbus.schemas.topics import lane_of
from portalbus.streams.ledger.database import BY_KEY
from promises import BrokenPromise

ANSWER_SECONDS = 5.0
SHORT_SECONDS = 10.0
"""A broker that has just started may not know the end of a topic yet."""
AT_ONCE = 2_000
MOST_AT_ONCE = 20_000
"""Records that one call reads; the rest comes with the next."""
CONSUMER = {
    "group.id": "online",
    "isolation.level": "read_committed",
    "enable.auto.commit": False,
    "auto.offset.reset": "error",
    "fetch.min.bytes": 1_000_000,  # a few answers a second, whatever the load
    "fetch.wait.max.ms": 300,
    "reconnect.backoff.max.ms": 1_000,
    "log_level": 0,
}


class BusAway(Exception):
    """Database or broker do not answer at the moment, or not in time."""


class BusReading:
    """Reads each line once. What raises BusAway may be called again later, and goes on where it was.

    For one thread. Raises BrokenPromise when a topic no longer holds what was read from it.
    """

    def __init__(self, addresses: Addresses, agencies: Sequence[str], history: Path) -> None:
        writers = SchemaIds(SchemaRegistry(addresses.registry_url)).lane_writers()
        self._database_url = addresses.database_url
        self._connection: Connection[Any] | None = None
        self._lanes = _Topics(addresses.bootstrap, [lane_of(agency) for agency in agencies])
        self._outgoing = _Topics(addresses.bootstrap, outgoing_topics(agencies))
        self._writers = writers
        self._history, self._tail = history, HistoryTail(history)

    def sent(self) -> Iterator[Line]:
        """What has come in the canonical topics and the verdict topics."""
        for message in self._outgoing.news():
            yield from sent(message)

    def decided(self, first: int, last: int) -> list[Line]:
        """What the ledger holds at these positions, and the gaps it has named, in one snapshot."""
        try:
            with self._ledger().transaction():
                return list(decided_lines(self._ledger(), first, last))
        except (psycopg.OperationalError, psycopg.InterfaceError):
            self._hang_up()
            raise BusAway("the database is away") from None

    def laid(self, up_to: Mapping[str, int]) -> Iterator[Line]:
        """What has come on the lanes. Raises BusAway unless it includes each lane's record with this offset."""
        for message in self._lanes.news(up_to):
            yield from laid(message, self._writers)

    def said(self) -> Iterator[Line]:
        """What the portals have written down."""
        yield from self._tail.read() if self._history.exists() else ()

    def close(self) -> None:
        """Lets go of everything; the next call opens it anew."""
        self._lanes.close()
        self._outgoing.close()
        self._hang_up()

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ledger(self) -> Connection[Any]:
        if self._connection is None:
            self._connection = psycopg.connect(
                self._database_url, connect_timeout=5, options=f"-c statement_timeout=60s -c timezone=UTC {BY_KEY}"
            )
            self._connection.isolation_level = IsolationLevel.REPEATABLE_READ
            self._connection.read_only = True
        return self._connection


class _Topics:
    """Some topics from their beginning, by one consumer, or a new one that goes on where the last one was."""

    def __init__(self, bootstrap: str, topics: Sequence[str]) -> None:
        self._bootstrap, self._topics = bootstrap, topics
        self._next: dict[tuple[str, int], int] = {}
        self._short_since: dict[str, float] = {}
        self._consumer: Consumer | None = None

    def news(self, up_to: Mapping[str, int] | None = None) -> Iterator[Message]:
        """The records that have come; with `up_to`, waits for these offsets as far as the topics reach so far."""
        try:
            consumer = self._open()
            wanted = {topic: self._reachable(consumer, topic, offset) for topic, offset in (up_to or {}).items()}
            began, found = time.monotonic(), 0
            while True:
                messages = consumer.consume(AT_ONCE, 0.1)
                for message in messages:
                    self._pass(message)
                    yield message
                found += len(messages)
                reached = all(self._next.get((topic, 0), 0) >= offset for topic, offset in wanted.items())
                if reached and (len(messages) < AT_ONCE or found >= MOST_AT_ONCE):
                    return
                if time.monotonic() - began > ANSWER_SECONDS:
                    raise BusAway("the broker is slow")
        except KafkaException:
            self.close()
            raise BusAway("the broker is away") from None

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _pass(self, message: Message) -> None:
        error = message.error()
        if error is not None and error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise BrokenPromise(f"{message.topic()} no longer holds what was read from it: {error}")
        if error is not None:
            raise KafkaException(error)
        self._next[message.topic() or "", message.partition() or 0] = (message.offset() or 0) + 1

    def _reachable(self, consumer: Consumer, topic: str, offset: int) -> int:
        """The offset behind this one, or the end of the topic when it does not reach so far for some time."""
        if self._next.get((topic, 0), 0) > offset:
            return offset + 1
        ends = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=ANSWER_SECONDS)
        if ends is None:
            raise BusAway("the broker is slow")
        if ends[1] > offset:
            self._short_since.pop(topic, None)
        elif time.monotonic() - self._short_since.setdefault(topic, time.monotonic()) < SHORT_SECONDS:
            raise BusAway("the broker does not know all of a lane yet")
        return min(offset + 1, ends[1])

    def _open(self) -> Consumer:
        if self._consumer is None:
            consumer = Consumer({**CONSUMER, "bootstrap.servers": self._bootstrap})
            self._consumer = consumer
            known = consumer.list_topics(timeout=ANSWER_SECONDS).topics
            if any(topic not in known or not known[topic].partitions for topic in self._topics):
                self.close()
                raise BusAway("the broker does not know all topics yet")
            consumer.assign(
                [
                    TopicPartition(topic, number, self._next.get((topic, number), OFFSET_BEGINNING))
                    for topic in self._topics
                    for number in known[topic].partitions
                ]
            )
        return self._consumer
