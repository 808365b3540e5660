"""The SDK beside a bare producer: durable, checked publishes against confluent's AvroSerializer and produce().

All sides run in one process, one after the other, several rounds, on the same events, against the same broker; what
counts is the ratio. "Published" is checked, sequenced and on the disk; "delivered" is acknowledged by the broker too.
"""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from confluent_kafka.schema_registry import SchemaRegistryClient, record_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from portalbus.producers import FeedbackReceived, Portal, new_event_id, new_public_code
from portalbus.producers.lane_writer import DEFAULTS
from portalbus.schemas import avro_files
from portalbus.schemas.registration import register_all
from portalbus.schemas.registry import SchemaRegistry
from portalbus.schemas.topics import lane_of

AGENCY = "H26"
BATCH = 500
THREADS = 16
TEXT = "Đèn đường trên phố hỏng đã ba tuần, tổ dân phố đã báo hai lần nhưng chưa có ai đến sửa. " * 4


@dataclass(frozen=True)
class SdkFigures:
    """All sides: rates in events a second, one a round; latencies of single `publish()` calls in milliseconds."""

    bare: list[float]
    published: list[float]
    published_by_threads: list[float]
    delivered: list[float]
    alone_ms: list[float]
    delivering_ms: list[float]

    @property
    def ratio(self) -> float:
        """Checked, sequenced and durable, beside serialized and produced: the median of the rounds."""
        return self._ratio(self.published)

    @property
    def p99_ms(self) -> float:
        """p99 of `publish()` while the same process delivers what it publishes."""
        return _quantile(self.delivering_ms, 0.99)

    @property
    def sides(self) -> dict[str, float]:
        """Everything measured, for the report."""
        return {
            "AvroSerializer + produce, acknowledged, per second": statistics.median(self.bare),
            "publish_many, durable, per second": statistics.median(self.published),
            f"publish from {THREADS} threads, durable, per second": statistics.median(self.published_by_threads),
            "publish_many, acknowledged by the broker, per second": statistics.median(self.delivered),
            "publish_many ÷ produce": self.ratio,
            "threads ÷ produce": self._ratio(self.published_by_threads),
            "delivered ÷ produce": self._ratio(self.delivered),
            "publish(), p50 in ms": _quantile(self.alone_ms, 0.50),
            "publish(), p99 in ms": _quantile(self.alone_ms, 0.99),
            "publish() while delivering, p50 in ms": _quantile(self.delivering_ms, 0.50),
            "publish() while delivering, p99 in ms": self.p99_ms,
        }

    def _ratio(self, ours: Sequence[float]) -> float:
        return statistics.median(mine / theirs for mine, theirs in zip(ours, self.bare, strict=True))


def compare(bootstrap: str, registry_url: str, folder: Path, *, events: int = 20_000, rounds: int = 3) -> SdkFigures:
    """Runs all sides `rounds` times; `folder` is empty and on a real disk."""
    register_all(SchemaRegistry(registry_url))
    _topics(bootstrap, "bench.bare", lane_of(AGENCY))
    payloads = [feedback(number) for number in range(events)]
    found = SdkFigures([], [], [], [], [], [])
    for number in range(rounds):
        place = folder / str(number)
        found.bare.append(bare_producer(bootstrap, registry_url, "bench.bare", payloads))
        found.published.append(publish_many(Portal(AGENCY, "many", outbox=place, deliver=False), payloads))
        found.published_by_threads.append(
            publish_by_threads(Portal(AGENCY, "threads", outbox=place, deliver=False), payloads)
        )
        with Portal(AGENCY, "alone", outbox=place, deliver=False) as quiet:
            quiet.publish(payloads[0])
            found.alone_ms.extend(publish_latencies(quiet, payloads[:2_000]))
        with Portal(AGENCY, f"bench-{number}", bootstrap=bootstrap, registry_url=registry_url, outbox=place) as portal:
            portal.publish(payloads[0])
            portal.flush(30)
            found.delivered.append(publish_and_deliver(portal, payloads))
            found.delivering_ms.extend(publish_latencies(portal, payloads[:2_000]))
    return found


def feedback(number: int) -> FeedbackReceived:
    """A feedback of ordinary length, in Vietnamese."""
    return FeedbackReceived(
        case_id=f"{AGENCY}-2026-{number:08d}",
        public_code=new_public_code(),
        regime="R2",
        category=1,
        channel="WEB",
        received_at=datetime.now(UTC),
        addressed_to=AGENCY,
        subject="Đèn đường hỏng",
        content=TEXT,
        language="vi",
    )


def bare_producer(bootstrap: str, registry_url: str, topic: str, payloads: Sequence[FeedbackReceived]) -> float:
    """Events a second of AvroSerializer and an idempotent producer, until all are acknowledged; nothing is checked."""
    serialize = AvroSerializer(
        SchemaRegistryClient({"url": registry_url}),
        json.dumps(avro_files.current("FeedbackReceived").raw),
        conf={
            "auto.register.schemas": False,
            "use.latest.version": False,
            "subject.name.strategy": record_subject_name_strategy,
        },
    )
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 5,
            "compression.type": DEFAULTS["compression.type"],
            "queue.buffering.max.messages": len(payloads) + 1,
        }
    )
    context = SerializationContext(topic, MessageField.VALUE)
    failed: list[KafkaError] = []

    def answered(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failed.append(error)

    records = [(payload.case_id, _record(number, payload)) for number, payload in enumerate(payloads, 1)]
    serialize(records[0][1], context)
    producer.list_topics(topic, timeout=10)
    started = time.perf_counter()
    for key, record in records:
        producer.produce(topic, serialize(record, context), key, on_delivery=answered)
        producer.poll(0)
    left = producer.flush(60)
    elapsed = time.perf_counter() - started
    if left or failed:
        raise RuntimeError(f"{left} records were not acknowledged, {len(failed)} failed")
    return len(payloads) / elapsed


def publish_many(portal: Portal, payloads: Sequence[FeedbackReceived]) -> float:
    """Events a second into the outbox, in transactions of `BATCH`."""
    with portal:
        return _rate(len(payloads), lambda: _in_batches(portal, payloads))


def publish_by_threads(portal: Portal, payloads: Sequence[FeedbackReceived]) -> float:
    """Events a second into the outbox, one `publish()` each, from `THREADS` threads."""
    some = payloads[: len(payloads) // 2]

    def publish(start: int) -> None:
        for payload in some[start::THREADS]:
            portal.publish(payload)

    def run() -> None:
        threads = [threading.Thread(target=publish, args=(start,)) for start in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    with portal:
        return _rate(len(some), run)


def publish_and_deliver(portal: Portal, payloads: Sequence[FeedbackReceived]) -> float:
    """Events a second through the outbox to the broker's acknowledgement."""

    def run() -> None:
        _in_batches(portal, payloads)
        if not portal.flush(120):
            raise RuntimeError(f"not delivered: {portal.status().last_error}")

    return _rate(len(payloads), run)


def publish_latencies(portal: Portal, payloads: Sequence[FeedbackReceived]) -> list[float]:
    """Milliseconds of single calls of `publish()`, one after the other."""
    found = []
    for payload in payloads:
        started = time.perf_counter()
        portal.publish(payload)
        found.append((time.perf_counter() - started) * 1_000)
    return found


def _in_batches(portal: Portal, payloads: Sequence[FeedbackReceived]) -> None:
    for start in range(0, len(payloads), BATCH):
        portal.publish_many(payloads[start : start + BATCH])


def _rate(count: int, run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return count / (time.perf_counter() - started)


def _record(number: int, payload: FeedbackReceived) -> dict[str, Any]:
    now = datetime.now(UTC)
    envelope = {
        "id": new_event_id(),
        "agency": AGENCY,
        "portal": "bare",
        "epoch": 1,
        "sequence": number,
        "occurred_at": now,
        "published_at": now,
        "correlation_id": None,
        "causation_id": None,
    }
    return {"envelope": envelope, **payload.__dict__}


def _topics(bootstrap: str, *names: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    known = admin.list_topics(timeout=10).topics
    new = [NewTopic(name, 1, 1) for name in names if name not in known]
    for future in admin.create_topics(new).values() if new else ():
        future.result(30)


def _quantile(values: Sequence[float], part: float) -> float:
    return sorted(values)[int(len(values) * part)]


if __name__ == "__main__":
    import os
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        figures = compare(os.environ["BOOTSTRAP"], os.environ["REGISTRY_URL"], Path(scratch))
    print(json.dumps({name: round(value, 2) for name, value in figures.sides.items()}, indent=1, ensure_ascii=False))
