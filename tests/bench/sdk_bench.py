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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
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
    """Events a second (median of the rounds), latencies in milliseconds, ratios to the bare producer."""

    bare_per_second: float
    published_per_second: float
    published_by_threads_per_second: float
    delivered_per_second: float
    publish_p50_ms: float
    publish_p99_ms: float
    publish_p99_while_delivering_ms: float
    published_ratio: float
    threads_ratio: float
    delivered_ratio: float


def measure(bootstrap: str, registry_url: str, folder: Path, *, events: int = 20_000, rounds: int = 3) -> SdkFigures:
    """Runs all sides `rounds` times; `folder` must be empty and on a real disk."""
    register_all(SchemaRegistry(registry_url))
    _topics(bootstrap, "bench.bare", lane_of(AGENCY))
    payloads = [feedback(number) for number in range(events)]
    bare, many, threads, delivered, alone, beside = [], [], [], [], [], []
    for number in range(rounds):
        place = folder / str(number)
        bare.append(bare_producer(bootstrap, registry_url, "bench.bare", payloads))
        many.append(publish_many(Portal(AGENCY, "many", outbox=place, deliver=False), payloads))
        quiet = Portal(AGENCY, "threads", outbox=place, deliver=False)
        threads.append(publish_by_threads(quiet, payloads))
        alone += publish_latencies(quiet, payloads[:2_000])
        with Portal(AGENCY, f"bench-{number}", bootstrap=bootstrap, registry_url=registry_url, outbox=place) as portal:
            portal.publish(payloads[0])
            portal.flush(30)
            delivered.append(publish_and_deliver(portal, payloads))
            beside += publish_latencies(portal, payloads[:2_000])
    rate = statistics.median
    return SdkFigures(
        bare_per_second=rate(bare),
        published_per_second=rate(many),
        published_by_threads_per_second=rate(threads),
        delivered_per_second=rate(delivered),
        publish_p50_ms=_quantile(alone, 0.50),
        publish_p99_ms=_quantile(alone, 0.99),
        publish_p99_while_delivering_ms=_quantile(beside, 0.99),
        published_ratio=rate(many) / rate(bare),
        threads_ratio=rate(threads) / rate(bare),
        delivered_ratio=rate(delivered) / rate(bare),
    )


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
    failed: list[Any] = []
    records = [(payload.case_id, _record(number, payload)) for number, payload in enumerate(payloads, 1)]
    serialize(records[0][1], context)
    producer.list_topics(topic, timeout=10)
    started = time.perf_counter()
    for key, record in records:
        producer.produce(
            topic, serialize(record, context), key, on_delivery=lambda error, _: error and failed.append(error)
        )
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
    with ThreadPoolExecutor(THREADS) as pool:
        barrier = threading.Barrier(THREADS)
        list(pool.map(lambda _: barrier.wait(), range(THREADS)))
        return _rate(len(some), lambda: list(pool.map(portal.publish, some)))


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

    with tempfile.TemporaryDirectory(dir=os.environ.get("PORTALBUS_HOME")) as scratch:
        figures = measure(os.environ["BOOTSTRAP"], os.environ["REGISTRY_URL"], Path(scratch))
    print(json.dumps({name: round(value, 2) for name, value in asdict(figures).items()}, indent=1))
