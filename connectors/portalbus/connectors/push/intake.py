"""The thread that reads the canonical topics: it queues what somebody wants in the transaction that moves the place."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import structlog
from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]
from psycopg import Connection

from portalbus.connectors.push import store
from portalbus.connectors.push.decoding import Decoder
from portalbus.connectors.push.messages import Message
from portalbus.connectors.push.subscriptions import Subscription
from portalbus.connectors.push.wanted import VERDICT
from portalbus.producers.subscription import Place
from portalbus.producers.subscription.canonical_reader import CanonicalReader, headers_of, name_of
from portalbus.schemas.errors import RegistryRefused, RegistryUnavailable, UndecodableRecord
from portalbus.schemas.headers import shown_from_of
from portalbus.schemas.topics import CANONICAL, verdicts_of
from portalbus.streams.ledger.database import Session

log = structlog.get_logger(__name__)

T = TypeVar("T")

TOGETHER = 500
PAUSE_S = 1.0
UNREADABLE_PAUSE_S = 30.0
LOOK_EVERY_S = 1.0
ANSWER_S = 10.0
MARGIN = timedelta(minutes=1)
"""Clocks of PostgreSQL and Kafka may differ so much when a new topic's beginning is looked up by time."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where everything is read from."""

    kafka: Mapping[str, str]
    decoder: Decoder


class Intake:
    """Reads for as long as it is not told to stop; `hand_out` gets what was queued, `failed` what ended it."""

    def __init__(
        self,
        sources: Sources,
        session: Session,
        term: int,
        hand_out: Callable[[Sequence[tuple[str, Message]]], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._sources = sources
        self._session = session
        self._term = term
        self._hand_out = hand_out
        self._failed = failed
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="webhooks-intake", daemon=True)

    def start(self) -> None:
        """Begins to read."""
        self._thread.start()

    def close(self, within: float) -> None:
        """Stops reading."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(within)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._stopping.wait(self._read_for_a_while())
        except BaseException as error:
            self._failed(error)
        finally:
            self._session.close()

    def _read_for_a_while(self) -> float:
        """Reads until something changes or goes wrong; gives how many seconds to pause then."""
        receivers = self._session.transact(store.subscriptions)
        if not receivers:
            self._transact(store.forget_places)
            return LOOK_EVERY_S
        try:
            self._read(receivers)
        except KafkaException as error:
            log.warning("webhooks.kafka-away", error=error.args[0].name(), retry_in_s=PAUSE_S)
            return PAUSE_S
        except (RegistryUnavailable, RegistryRefused) as error:
            log.warning("webhooks.registry-away", error=type(error).__name__, retry_in_s=PAUSE_S)
            return PAUSE_S
        except UndecodableRecord as error:
            # Going on would make a hole: a newer program can read it.
            log.error("webhooks.unreadable-record", rule=error.rule, detail=error.detail, mend="update this program")
            return UNREADABLE_PAUSE_S
        return 0.0

    def _read(self, receivers: Sequence[Subscription]) -> None:
        topics = topics_wanted(receivers)
        places = starting_places(
            self._sources.kafka, topics, self._session.transact(store.places), min(one.created_at for one in receivers)
        )
        present = {name.rpartition("/")[0] for name in places}
        if missing := sorted(topics - present):  # Kafka does not name what one may not read
            log.warning("webhooks.topics-unseen", topics=missing[:10], more=max(len(missing) - 10, 0))
        with closing(CanonicalReader(self._sources.kafka, sorted(present), places)) as reader:
            log.info("webhooks.reading", topics=len(present), receivers=len(receivers))
            look_at = time.monotonic() + LOOK_EVERY_S
            while not self._stopping.is_set():
                self._take(reader, places)
                if time.monotonic() >= look_at:
                    if topics_wanted(self._session.transact(store.subscriptions)) != topics:
                        return
                    look_at = time.monotonic() + LOOK_EVERY_S

    def _take(self, reader: CanonicalReader, places: dict[str, Place]) -> None:
        messages: list[Message] = []
        moved: dict[str, Place] = {}
        for part, record in reader.next(TOGETHER):
            name = name_of(part)
            before = moved.get(name) or places[name]
            if record.position > before.position and record.message is not None:
                messages += self._message(record.message, record.position)
            moved[name] = Place(record.next_offset, max(record.position, before.position))
        if moved:
            queued = self._transact(lambda connection: store.queue(connection, messages, moved))
            places.update(moved)
            self._hand_out(queued)

    def _message(self, record: KafkaMessage, position: int) -> list[Message]:
        value = record.value()
        raw = value if isinstance(value, bytes) else None
        found = self._sources.decoder.message(raw, position, shown_from_of(headers_of(record)))
        return [] if found is None else [found]

    def _transact(self, work: Callable[[Connection[Any]], T]) -> T:
        def held(connection: Connection[Any]) -> T:
            store.hold(connection, self._term)
            return work(connection)

        return self._session.transact(held)


def topics_wanted(receivers: Collection[Subscription]) -> frozenset[str]:
    """The canonical topics, and the verdict topics of agencies that somebody wants verdicts of."""
    agencies = {agency for one in receivers if VERDICT in one.types for agency in one.agencies}
    return frozenset(CANONICAL.values()) | {verdicts_of(agency) for agency in agencies}


def starting_places(
    kafka: Mapping[str, str], topics: Collection[str], known: Mapping[str, Place], since: datetime
) -> dict[str, Place]:
    """The place of every partition of the topics that exist; one that was never read begins a little before `since`.

    Raises KafkaException.
    """
    admin = AdminClient(dict(kafka))
    present = admin.list_topics(timeout=ANSWER_S).topics
    parts = [(topic, number) for topic in topics if topic in present for number in present[topic].partitions]
    places = {name_of(part): known[name_of(part)] for part in parts if name_of(part) in known}
    new = [TopicPartition(*part) for part in parts if name_of(part) not in known]
    if new:
        then = OffsetSpec.for_timestamp(round((since - MARGIN).timestamp() * 1_000))
        ends = _offsets(admin, new, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        later = _offsets(admin, new, then)
        for name, end in ends.items():
            places[name] = Place(later[name] if later[name] >= 0 else end, 0)
    return places


def _offsets(admin: AdminClient, parts: Sequence[TopicPartition], which: OffsetSpec) -> dict[str, int]:
    answers = admin.list_offsets(
        dict.fromkeys(parts, which), isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=ANSWER_S
    )
    return {name_of((part.topic, part.partition)): answer.result().offset for part, answer in answers.items()}
