"""The old systems: they write to the lanes with a plain producer, and make every mistake that the plan wants."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from portalbus.infra.bus.addresses import Addresses
from portalbus.infra.demo.cast import LEGACY
from portalbus.infra.demo.clockwork import Clockwork
from portalbus.infra.demo.plan import Door, Plan, Step, Wire
from portalbus.infra.demo.sent import Sent, SentLog
from portalbus.infra.demo.watch import LedgerWatch
from portalbus.schemas import codec
from portalbus.schemas.headers import cloudevents_headers
from portalbus.schemas.identifiers import new_event_id
from portalbus.schemas.kafka_settings import ONE_REQUEST_AT_A_TIME, librdkafka_settings
from portalbus.schemas.models import Envelope, Event
from portalbus.schemas.topics import lane_of

PATIENCE_S = 60.0
UNKNOWN_SCHEMA_ID = 4_000_000_000
XML = "<?xml version='1.0'?><vanBan><trichYeu>Hệ thống cũ gửi XML thay cho Avro</trichYeu></vanBan>"


@dataclass(frozen=True)
class Record:
    """A record as it goes to the lane."""

    key: str | bytes | None
    value: bytes | None
    headers: list[tuple[str, str | bytes | None]]
    event_id: str | None


@dataclass
class Place:
    """Where a source stands: its epoch and the sequence it gives next."""

    epoch: int
    sequence: int


class LegacySystems:
    """All old systems, one after the other in one thread: the order of their records is the order of the plan."""

    def __init__(
        self,
        plan: Plan,
        addresses: Addresses,
        schema_ids: Mapping[str, int],
        clockwork: Clockwork,
        log: SentLog,
        watch: LedgerWatch,
    ) -> None:
        self._steps = [step for step in plan.steps if step.door is Door.KAFKA]
        self._bootstrap = addresses.bootstrap
        self._schema_ids = schema_ids
        self._clockwork = clockwork
        self._log = log
        self._watch = watch
        self._records: dict[int, Record] = {}
        self._places = _places(addresses.database_url)
        self._producer = Producer(
            {
                **librdkafka_settings(addresses.bootstrap, {}),
                **ONE_REQUEST_AT_A_TIME,
                "enable.idempotence": True,
                "linger.ms": 0,
            }
        )
        self._thread = threading.Thread(target=self._work, name="demo-legacy", daemon=True)

    def start(self) -> None:
        """The old systems begin their day."""
        self._thread.start()

    def finish(self) -> None:
        """Wait until everything is sent."""
        self._thread.join()

    def _work(self) -> None:
        self._clockwork.play(self._steps, self._send)

    def _send(self, step: Step) -> None:
        record = self._again(step) if step.wire is Wire.SENT_AGAIN else self._record(step)
        self._records[step.number] = record
        called = time.time_ns()
        offset = self._produce(lane_of(step.agency), record)
        self._log.note(Sent(step, called, time.time_ns(), record.event_id, offset))

    def _produce(self, lane: str, record: Record) -> int:
        delivered: list[Message] = []

        def report(error: object, message: Message) -> None:
            if error is None:
                delivered.append(message)

        self._producer.produce(lane, record.value, record.key, headers=record.headers, on_delivery=report)
        self._producer.flush(PATIENCE_S)
        offset = delivered[0].offset() if delivered else None
        if offset is None:
            raise TimeoutError(f"Kafka did not acknowledge a record of {lane} within {PATIENCE_S:.0f} s")
        return offset

    def _record(self, step: Step) -> Record:
        envelope = self._envelope(step)
        # Built without validation: some of what old systems say breaks the contract.
        event = Event(envelope, step.payload)
        value = codec.encode_event(event, self._schema_ids[step.payload.event_type])
        key = "khong-dung" if step.wire is Wire.WRONG_KEY else event.key
        headers = list(cloudevents_headers(envelope, step.payload.event_type))
        return Record(key, spoiled(value, step.wire), [*headers], envelope.id)

    def _envelope(self, step: Step) -> Envelope:
        place = self._places.setdefault(step.agency, Place(1, 1))
        sequence = place.sequence
        if step.wire is Wire.SEQUENCE_REUSED:
            sequence -= 1
        elif step.wire in (Wire.SOUND, Wire.WRONG_KEY, Wire.ID_REUSED):
            place.sequence += 1
        event_id = new_event_id()
        if step.wire is Wire.ID_REUSED and step.of_step is not None:
            event_id = self._records[step.of_step].event_id or event_id
        return Envelope(
            id=event_id,
            agency=step.other_agency or step.agency,
            portal=LEGACY,
            epoch=place.epoch,
            sequence=1 if step.wire is Wire.OTHER_AGENCY else sequence,
            occurred_at=step.occurred_at,
            published_at=datetime.now(UTC),
        )

    def _again(self, step: Step) -> Record:
        """The record of an earlier step: remembered when it was ours, else read from the lane."""
        if step.of_step is None:
            raise ValueError(f"step {step.number} does not say which record is sent again")
        if step.of_step in self._records:
            return self._records[step.of_step]
        deadline = time.monotonic() + PATIENCE_S
        while (original := self._log.of(step.of_step)) is None or original.event_id is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"step {step.of_step} was not published within {PATIENCE_S:.0f} s")
            time.sleep(0.02)
        offset = self._watch.offset_of(step.agency, original.event_id, PATIENCE_S)
        if offset is None:
            raise TimeoutError(f"{original.event_id} of {step.agency} was not judged within {PATIENCE_S:.0f} s")
        return self._read(lane_of(step.agency), offset)

    def _read(self, lane: str, offset: int) -> Record:
        consumer = Consumer(
            {**librdkafka_settings(self._bootstrap, {}), "group.id": "demo-legacy", "enable.auto.commit": False}
        )
        try:
            consumer.assign([TopicPartition(lane, 0, offset)])
            message = consumer.poll(PATIENCE_S)
            if message is None or message.error():
                raise KafkaException(message.error() if message else f"{lane}@{offset} could not be read")
            headers: Any = message.headers() or []  # the client's own type leaves the pairs open
            event_id = next(
                (value.decode() for name, value in headers if name == "ce_id" and isinstance(value, bytes)), None
            )
            return Record(message.key(), message.value(), headers, event_id)
        finally:
            consumer.close()


def spoiled(value: bytes, wire: Wire) -> bytes | None:
    """What an old system makes of a sound value."""
    if wire is Wire.NOT_AVRO:
        return XML.encode()
    if wire is Wire.CUT_SHORT:
        return value[: len(value) * 2 // 3]
    if wire is Wire.TRAILING_BYTES:
        return value + b"\r\n"
    if wire is Wire.UNKNOWN_SCHEMA:
        return value[:1] + struct.pack(">I", UNKNOWN_SCHEMA_ID) + value[codec.HEADER_BYTES :]
    if wire is Wire.EMPTY:
        return None
    if wire is Wire.TOO_LARGE:
        return value + b" " * codec.MAX_VALUE_BYTES
    return value


def _places(database_url: str) -> dict[str, Place]:
    """Where the old systems stand after earlier runs: they ask the centre, having no memory of their own."""
    with psycopg.connect(database_url, connect_timeout=5, autocommit=True) as connection:
        rows = connection.execute("select agency, epoch, last_sequence from ledger.source where portal = %s", (LEGACY,))
        return {agency: Place(epoch, last + 1) for agency, epoch, last in rows}
