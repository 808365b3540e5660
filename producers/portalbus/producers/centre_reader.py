"""Listening to the centre: notices to this source always, the verdicts on its events when they are wanted."""

from __future__ import annotations

import ctypes
import logging
import threading
import time
from typing import Any, NamedTuple, cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from portalbus.producers import logs
from portalbus.producers.backlog import Backlog
from portalbus.producers.canaries import Canaries
from portalbus.producers.centre_schemas import CentreSchemas
from portalbus.producers.database import Database
from portalbus.producers.notices import HANDLERS, Hearing
from portalbus.producers.outbox import Outbox
from portalbus.producers.settings import Settings
from portalbus.producers.verdicts import VerdictKeeper
from portalbus.schemas.errors import PortalbusError, RegistryRefused, RegistryUnavailable, UndecodableRecord
from portalbus.schemas.kafka_settings import librdkafka_settings
from portalbus.schemas.models import Model, Verdict
from portalbus.schemas.topics import verdicts_of

BATCH = 500
WAIT_SECONDS = 0.1
PAUSE_SECONDS = 5.0
CAUGHT_UP_SECONDS = 3.0
OFFSET_SECONDS = 10.0
PLACE_SECONDS = 5.0
"""How often the place is remembered while nothing concerns this source: a publish should not wait for that."""
VERDICT = Verdict.__name__

logging.getLogger("portalbus.librdkafka").addHandler(logging.NullHandler())


class _Heard(NamedTuple):
    offset: int
    kind: str
    record: Model


class CentreReader:
    """Reads `verdict.<agency>` beside the delivery, in the one process that delivers.

    Notices are heard from the first time on, never those of before; where the reading stopped lies in the outbox.
    """

    def __init__(
        self, settings: Settings, outbox: Outbox, keeper: VerdictKeeper | None, canaries: Canaries | None = None
    ) -> None:
        self._settings = settings
        self._outbox = outbox
        self._keeper = keeper
        self._canaries = canaries
        self._topic = verdicts_of(settings.agency)
        self._schemas = CentreSchemas(settings.registry_url)
        self._stopping = threading.Event()
        self._caught_up = threading.Event()
        self._trouble = ""
        self._remember_at = 0.0
        self._database: Database | None = None
        self._consumer: Consumer | None = None
        self._thread: threading.Thread | None = None

    def begin(self, backlog: Backlog) -> None:
        """Starts reading; waits a moment for the verdicts that were missed: they may say that this outbox is old."""
        self._stopping.clear()
        self._caught_up.clear()
        self._database = self._outbox.second_database()
        name = f"portalbus-centre-{self._settings.source}"
        self._thread = threading.Thread(target=self._run, args=(self._database,), name=name, daemon=True)
        self._thread.start()
        if self._keeper is not None:
            self._caught_up.wait(CAUGHT_UP_SECONDS)

    def end(self) -> None:
        """Stops reading."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(CAUGHT_UP_SECONDS)
            self._thread = None

    def damage(self) -> str | None:
        """What a verdict said that contradicts the outbox."""
        return self._keeper.damage if self._keeper else None

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
                    self._say_trouble(str(error))
                    self._stopping.wait(PAUSE_SECONDS)
        finally:
            database.close()

    def _read(self, database: Database) -> None:
        consumer = Consumer(consumer_config(self._settings), logger=logging.getLogger("portalbus.librdkafka"))
        self._consumer = consumer
        try:
            notices_from, start = self._places(database, consumer)
            consumer.assign([TopicPartition(self._topic, 0, start)])
            while not self._stopping.is_set():
                self._take(database, consumer.consume(BATCH, WAIT_SECONDS), notices_from)
                if self._keeper is not None:
                    self._keeper.call_back(database)
        finally:
            self._consumer = None
            consumer.close()

    def _places(self, database: Database, consumer: Consumer) -> tuple[int, int]:
        """From where on notices count, and where to read from."""
        with database.reading() as connection:
            (verdicts,) = connection.execute("select next_offset from verdict_place").fetchone()
            (notices,) = connection.execute("select next_offset from notice_place").fetchone()
        if notices is None:
            _, notices = consumer.get_watermark_offsets(TopicPartition(self._topic, 0), timeout=OFFSET_SECONDS)
            with database.transaction() as connection:
                connection.execute("update notice_place set next_offset = ?", (notices,))
        if self._keeper is None:
            return notices, notices
        return notices, min(verdicts, notices) or OFFSET_BEGINNING

    def _take(self, database: Database, messages: list[Message], notices_from: int) -> None:
        found: list[_Heard] = []
        place = 0
        at_end = False
        for message in messages:
            if (error := message.error()) is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                at_end = True
                continue
            offset = message.offset() or 0
            place = offset + 1
            kind = _kind(message)
            if kind == VERDICT and self._canaries is not None:
                self._canaries.heard(message.key())
            if self._concerns(message, kind, offset >= notices_from) and (record := self._decoded(message)):
                found.append(_Heard(offset, kind, record))
        if place:
            self._trouble = ""
            if found or time.monotonic() >= self._remember_at:
                self._hear(database, found, place)
                self._remember_at = time.monotonic() + PLACE_SECONDS
        if at_end:
            self._caught_up.set()

    def _concerns(self, message: Message, kind: str, new: bool) -> bool:
        """Decided before decoding: a portal that keeps no verdicts does not pay for the agency's."""
        if kind == VERDICT:
            return self._keeper is not None
        return new and kind in HANDLERS and message.key() == self._settings.source.encode()

    def _hear(self, database: Database, found: list[_Heard], place: int) -> None:
        """Stores verdicts and answers notices, in the transaction that remembers them as heard."""
        verdicts = [
            (offset, record)
            for offset, _, record in found
            if isinstance(record, Verdict) and record.portal == self._settings.portal
        ]
        notices = [heard for heard in found if heard.kind in HANDLERS]
        with database.transaction() as connection:
            if self._keeper is not None:
                self._keeper.keep(connection, verdicts, place)
            connection.execute("update notice_place set next_offset = max(next_offset, ?)", (place,))
            for notice in notices:
                HANDLERS[notice.kind](notice.record, Hearing(connection, self._settings))
        for notice in notices:
            logs.info(logs.NOTICE_HEARD, source=self._settings.source, notice=notice.kind, offset=notice.offset)

    def _decoded(self, message: Message) -> Model | None:
        try:
            return self._schemas.decode(message.value())
        except (RegistryUnavailable, RegistryRefused):
            raise
        except UndecodableRecord as error:
            logs.warning(logs.VERDICT_UNREADABLE, topic=self._topic, offset=message.offset(), rule=error.rule)
            return None

    def _say_trouble(self, text: str) -> None:
        if text != self._trouble:
            self._trouble = text
            logs.warning(logs.VERDICT_UNREADABLE, topic=self._topic, trouble=text)


def _kind(message: Message) -> str:
    """The record type, from the CloudEvents header; without one it is a verdict, as in the beginning."""
    headers = cast("list[tuple[str, bytes | None]] | None", message.headers())
    for name, value in headers or ():
        if name == "ce_type" and value:
            return value.decode(errors="replace").rpartition(".")[2]
    return VERDICT


def consumer_config(settings: Settings) -> dict[str, Any]:
    """The consumer's properties: assigned, never in a group; its place lies in the outbox."""
    producer_only = ("linger.ms", "compression.type", "batch.size", "queue.buffering.max.messages")
    taken = {name: value for name, value in settings.kafka.items() if name not in producer_only}
    return {
        "client.id": f"portalbus/{settings.source}",
        "group.id": f"portalbus-{settings.agency}-{settings.portal}",
        # Gathered by the broker for a moment: a fetch for each verdict costs both sides more than the verdict.
        "fetch.min.bytes": 65_536,
        "fetch.wait.max.ms": 100,
        **librdkafka_settings(settings.bootstrap, taken),
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
    }
