"""Verdicts come back: read from the agency's verdict topic, kept in the outbox, handed to whoever asks."""

from __future__ import annotations

import ctypes
import logging
import threading
from collections.abc import Callable
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from portalbus.producers import logs
from portalbus.producers.backlog import Backlog
from portalbus.producers.database import Database
from portalbus.producers.outbox import Outbox
from portalbus.producers.settings import Settings
from portalbus.producers.source_row import read_source
from portalbus.producers.stored_event import id_bytes
from portalbus.producers.verdict_schemas import VerdictSchemas
from portalbus.schemas.errors import PortalbusError, RegistryRefused, RegistryUnavailable, UndecodableRecord
from portalbus.schemas.models import Verdict
from portalbus.schemas.topics import verdicts_of

BATCH = 500
WAIT_SECONDS = 0.1
PAUSE_SECONDS = 5.0
CAUGHT_UP_SECONDS = 3.0
SEQUENCE_REUSED = "source.sequence-reused"

logging.getLogger("portalbus.librdkafka").addHandler(logging.NullHandler())


class VerdictReader:
    """Reads `verdict.<agency>` beside the delivery, in the one process that delivers.

    `on_verdict` is called for each verdict on this portal's events, in order, and again when the process died or the
    callback raised before it returned. A verdict on a sequence that this outbox never gave means that the outbox is an
    old copy.
    """

    def __init__(self, settings: Settings, outbox: Outbox, on_verdict: Callable[[Verdict], None] | None) -> None:
        self._settings = settings
        self._outbox = outbox
        self._on_verdict = on_verdict
        self._topic = verdicts_of(settings.agency)
        self._schemas = VerdictSchemas(settings.registry_url)
        self._stopping = threading.Event()
        self._caught_up = threading.Event()
        self._damage: str | None = None
        self._database: Database | None = None
        self._consumer: Consumer | None = None
        self._thread: threading.Thread | None = None

    def begin(self, backlog: Backlog) -> None:
        """Starts reading, and waits a moment for what was missed: it may say that this outbox is an old copy."""
        self._stopping.clear()
        self._caught_up.clear()
        self._database = self._outbox.second_database()
        name = f"portalbus-verdicts-{self._settings.source}"
        self._thread = threading.Thread(target=self._run, args=(self._database,), name=name, daemon=True)
        self._thread.start()
        self._caught_up.wait(CAUGHT_UP_SECONDS)

    def end(self) -> None:
        """Stops reading."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(CAUGHT_UP_SECONDS)
            self._thread = None

    def damage(self) -> str | None:
        """What a verdict said that contradicts the outbox."""
        return self._damage

    def acquire(self) -> None:
        """Waits for a running transaction and closes the file: the process is about to fork."""
        if self._database is not None:
            self._database.lock.acquire()
            self._database.close()

    def release(self) -> None:
        """After the fork, in the parent."""
        if self._database is not None:
            self._database.lock.release()

    def leave_behind(self) -> None:
        """After the fork, in the child: the consumer's threads are not here, so it must not even be freed."""
        if self._consumer is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._consumer))

    def _run(self, database: Database) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    self._read(database)
                except (KafkaException, PortalbusError) as error:
                    logs.warning(logs.VERDICT_UNREADABLE, topic=self._topic, trouble=str(error))
                    self._stopping.wait(PAUSE_SECONDS)
        finally:
            database.close()

    def _read(self, database: Database) -> None:
        with database.reading() as connection:
            (place,) = connection.execute("select next_offset from verdict_place").fetchone()
        consumer = Consumer(consumer_config(self._settings), logger=logging.getLogger("portalbus.librdkafka"))
        self._consumer = consumer
        try:
            consumer.assign([TopicPartition(self._topic, 0, place or OFFSET_BEGINNING)])
            while not self._stopping.is_set():
                messages = consumer.consume(BATCH, WAIT_SECONDS)
                self._take(database, messages)
                self._call_back(database)
        finally:
            self._consumer = None
            consumer.close()

    def _take(self, database: Database, messages: list[Message]) -> None:
        found: list[tuple[int, Verdict]] = []
        place = 0
        at_end = False
        for message in messages:
            if (error := message.error()) is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                at_end = True
                continue
            verdict = self._decoded(message)
            place = (message.offset() or 0) + 1
            if verdict is not None and verdict.portal == self._settings.portal:
                found.append((place - 1, verdict))
        if place:
            self._store(database, found, place)
        if at_end:
            self._caught_up.set()

    def _decoded(self, message: Message) -> Verdict | None:
        try:
            return self._schemas.decode(message.value())
        except (RegistryUnavailable, RegistryRefused):
            raise
        except UndecodableRecord as error:
            logs.warning(logs.VERDICT_UNREADABLE, topic=self._topic, offset=message.offset(), rule=error.rule)
            return None

    def _store(self, database: Database, found: list[tuple[int, Verdict]], place: int) -> None:
        with database.transaction() as connection:
            connection.executemany(
                "insert or replace into verdict values (?, ?, ?, ?, ?)",
                [
                    (
                        offset,
                        id_bytes(verdict.event_id) if verdict.event_id else None,
                        verdict.sequence,
                        verdict.model_dump_json(),
                        int(verdict.judged_at.timestamp() * 1000),
                    )
                    for offset, verdict in found
                ],
            )
            connection.execute("update verdict_place set next_offset = ?", (place,))
            row = read_source(connection)
        for _, verdict in found:
            heard = (verdict.epoch or 0, verdict.sequence or 0)
            if row is None or heard[0] < row.epoch:
                continue  # of a time before a repair
            if heard > (row.epoch, row.last_sequence) or verdict.rule == SEQUENCE_REUSED:
                self._damage = (
                    f"the centre knows event {heard[1]} of epoch {heard[0]}, which this outbox did not give (it is at "
                    f"{row.last_sequence} of {row.epoch}): it is an old copy. Put the newest one back, or run "
                    "`portalbus outbox repair`"
                )

    def _call_back(self, database: Database) -> None:
        if self._on_verdict is None:
            return
        with database.reading() as connection:
            waiting = connection.execute(
                "select offset, value from verdict where offset >= (select called_offset from verdict_place)"
                " order by offset limit ?",
                (BATCH,),
            ).fetchall()
        for offset, value in waiting:
            try:
                self._on_verdict(Verdict.model_validate_json(value))
            except Exception as error:  # the portal's own code: whatever it raises must not stop the reading
                logs.warning(logs.CALLBACK_FAILED, topic=self._topic, offset=offset, kind=type(error).__name__)
                return
            with database.transaction() as connection:
                connection.execute("update verdict_place set called_offset = ?", (offset + 1,))


def consumer_config(settings: Settings) -> dict[str, Any]:
    """The consumer's properties: assigned, never in a group; its place lies in the outbox."""
    producer_only = ("linger.ms", "compression.type", "batch.size", "queue.buffering.max.messages")
    return {
        "bootstrap.servers": settings.bootstrap,
        "client.id": f"portalbus/{settings.source}",
        "group.id": f"portalbus-{settings.agency}-{settings.portal}",
        **{name: value for name, value in settings.kafka.items() if name not in producer_only},
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
    }
