"""Events judged and committed by one worker, beside a hand-written loop, Quix Streams and stock Faust, in one run.

Every side reads the same records (feedback received, about 724 bytes) from the same lanes and writes to the same
PostgreSQL. The hand-written loop decodes, validates and upserts one row per event in batches; the worker does the
whole of the bus's work: rules, verdicts, duplicates, order, outgoing rows.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from portalbus.schemas.codec import encode_event
from portalbus.schemas.identifiers import new_event_id, new_public_code
from portalbus.schemas.models import Channel, Envelope, Event, FeedbackReceived
from portalbus.schemas.registration import register_all
from portalbus.schemas.registry import SchemaRegistry
from portalbus.schemas.topics import lane_of
from portalbus.streams.ledger.database import migrate

AGENCIES = ("H01", "H05", "H12", "H13", "H14", "H15", "H17", "H18")
CONTENT = 3 * (
    "Đèn đường trên tuyến phố trước trường học đã hỏng ba tuần nay, "
    "buổi tối trẻ em đi học về rất nguy hiểm cho các cháu. "
)
DEADLINE_SECONDS = 300
ROOT = Path(__file__).parents[2]
PEERS = Path(__file__).with_name("peers")


@dataclass(frozen=True)
class Place:
    """Where the bench runs."""

    bootstrap: str
    registry_url: str
    database_url: str


def fill_lanes(place: Place, events: int) -> int:
    """Publishes this many events, evenly over the lanes; returns the mean size of a value in bytes."""
    ids = register_all(SchemaRegistry(place.registry_url))
    admin = AdminClient({"bootstrap.servers": place.bootstrap})
    config = {"message.timestamp.type": "LogAppendTime", "retention.ms": "-1"}
    for future in admin.create_topics([NewTopic(lane_of(a), 1, 1, config=config) for a in AGENCIES]).values():
        future.result()
    producer = Producer({"bootstrap.servers": place.bootstrap, "enable.idempotence": True, "linger.ms": 20})
    now, size = datetime.now(UTC), 0
    for index in range(events):
        agency, sequence = AGENCIES[index % len(AGENCIES)], index // len(AGENCIES) + 1
        event = feedback_of(agency, "www", sequence, sequence, now)
        value = encode_event(event, ids["FeedbackReceived"])
        size += len(value)
        producer.produce(lane_of(agency), value, event.key)
        producer.poll(0)
    producer.flush()
    return size // events


def feedback_of(agency: str, portal: str, sequence: int, case: int, now: datetime) -> Event:
    """A feedback with some 700 bytes, about a case of its own."""
    envelope = Envelope(
        id=new_event_id(),
        agency=agency,
        portal=portal,
        epoch=1,
        sequence=sequence,
        occurred_at=now,
        published_at=now,
    )
    payload = FeedbackReceived(
        case_id=f"{agency}-2026-{case:07d}",
        public_code=new_public_code(),
        regime="R2",
        category=1,
        channel=Channel.WEB,
        received_at=now,
        addressed_to=agency,
        field="giao-thong",
        area="01",
        subject="Đèn đường hỏng trước cổng trường",
        content=CONTENT,
        language="vi",
    )
    return Event(envelope=envelope, payload=payload)


def time_worker(place: Place, events: int) -> float:
    """Events a second from the worker's first commit to its last one."""
    migrate(place.database_url)
    return _time(
        place,
        events,
        [sys.executable, "-m", "portalbus.streams.worker"],
        "select coalesce(sum(next_offset), 0) from ledger.lane",
    )


def quix_python(folder: Path) -> Path:
    """The interpreter of an environment made for the Quix Streams peer; the sources of the bus are on its path."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "-q", "-r", PEERS / "quix_requirements.txt"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "portalbus.pth").write_text(f"{ROOT / 'schemas'}\n")
    return python


def time_peer(place: Place, events: int, name: str, python: Path | None = None) -> float:
    """Events a second of a peer of `peers/`, from its first commit to its last one."""
    with psycopg.connect(place.database_url, autocommit=True) as connection:
        connection.execute("create schema if not exists peer")
        connection.execute("drop table if exists peer.feedback")
        connection.execute(
            "create table peer.feedback (case_id text primary key, public_code text not null, agency text not null,"
            " portal text not null, sequence bigint not null, regime text not null, category int not null,"
            " received_at timestamptz not null, subject text not null, content text not null)"
        )
    command = [str(python or sys.executable), str(PEERS / f"{name}.py")]
    return _time(place, events, command, "select count(*) from peer.feedback")


def _time(place: Place, events: int, command: list[str], progress_sql: str) -> float:
    environment = {
        **os.environ,
        "PORTALBUS_BOOTSTRAP": place.bootstrap,
        "PORTALBUS_REGISTRY": place.registry_url,
        "PORTALBUS_DATABASE": place.database_url,
        "BENCH_LANES": ",".join(lane_of(agency) for agency in AGENCIES),
        "BENCH_GROUP": f"bench-{time.time_ns()}",
    }
    folder = tempfile.TemporaryDirectory()  # Faust keeps files where it is started
    log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
    process = subprocess.Popen(command, env=environment, stderr=log, cwd=folder.name)
    try:
        with psycopg.connect(place.database_url, autocommit=True) as connection:
            return _watch(lambda: _number(connection, progress_sql), events, process)
    except RuntimeError as error:
        log.seek(0)
        raise RuntimeError(f"{' '.join(command)}: {error}: {log.read()[-1_500:].decode(errors='replace')}") from error
    finally:
        process.terminate()
        process.wait(30)
        folder.cleanup()


def _watch(done: Callable[[], int], events: int, process: subprocess.Popen[bytes]) -> float:
    deadline = time.monotonic() + DEADLINE_SECONDS
    first: tuple[float, int] | None = None
    while time.monotonic() < deadline:
        count, now = done(), time.monotonic()
        if first is None and count > 0:
            first = (now, count)
        if count >= events:
            assert first is not None
            return (events - first[1]) / (now - first[0])
        if process.poll() is not None:
            raise RuntimeError(f"the process ended with status {process.returncode}")
        time.sleep(0.1)
    raise TimeoutError(f"{done()} of {events} events after {DEADLINE_SECONDS} s")


def _number(connection: psycopg.Connection[tuple[int]], sql: str) -> int:
    row = connection.execute(sql).fetchone()
    return int(row[0]) if row else 0
