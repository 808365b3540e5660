"""From publish() to visible: 200 events a second from several portals through the real SDK, worker and API.

Two clocks are stopped for an event: when a reader of the ledger sees its row, and (for a sample) when the API
answers with the directive.
"""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import psycopg

from portalbus.producers import Portal
from portalbus.schemas.identifiers import new_public_code
from portalbus.schemas.models import (
    BodyFormat,
    Channel,
    DirectiveAction,
    DirectivePublished,
    FeedbackReceived,
    aggregate_key,
)

AGENCIES = ("H26", "H29", "H17", "H24", "G18", "G03", "G12", "G17")
SAMPLE_EVERY = 20
PATIENCE_SECONDS = 30.0


@dataclass
class Latencies:
    """Milliseconds from publish() to each kind of visible."""

    ledger: list[float] = field(default_factory=list)
    api: list[float] = field(default_factory=list)

    @staticmethod
    def quantiles(values: list[float]) -> dict[str, float]:
        """p50, p95 and p99 in milliseconds, and how many were measured."""
        cuts = statistics.quantiles(values, n=100, method="inclusive")
        return {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "count": len(values)}


@dataclass(frozen=True)
class Address:
    """Where the running bus is."""

    bootstrap: str
    registry_url: str
    database_url: str
    web_url: str


def measure(bus: Address, folder: Path, *, rate: int, seconds: float) -> Latencies:
    """Publishes `rate` events a second for this long and waits until each is visible."""
    found, sent = Latencies(), dict[str, float]()
    stop = threading.Event()
    watcher = threading.Thread(target=_watch_ledger, args=(bus, sent, found, stop))
    probes: list[threading.Thread] = []
    with contextlib.ExitStack() as stack:
        portals = [stack.enter_context(_portal(bus, agency, folder)) for agency in AGENCIES]
        watcher.start()
        for number, due in enumerate(_ticks(rate, seconds)):
            portal, agency = portals[number % len(portals)], AGENCIES[number % len(portals)]
            sample = number % SAMPLE_EVERY == 0
            payload = _directive(number) if sample else _feedback(agency, number)
            key = aggregate_key(agency, payload)
            began = sent[key] = time.perf_counter()
            portal.publish(payload)
            if sample:
                probe = threading.Thread(target=_probe, args=(bus, key, began, found))
                probe.start()
                probes.append(probe)
            _until(due)
        total = number + 1
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(found.ledger) < total and time.monotonic() < deadline:
            time.sleep(0.05)
    for probe in probes:
        probe.join()
    stop.set()
    watcher.join()
    if len(found.ledger) < total:
        raise TimeoutError(f"{total - len(found.ledger)} of {total} events were not visible after {PATIENCE_SECONDS} s")
    return found


def _portal(bus: Address, agency: str, folder: Path) -> Portal:
    return Portal(
        agency=agency,
        portal="bench",
        bootstrap=bus.bootstrap,
        registry_url=bus.registry_url,
        outbox=folder / agency,
    )


def _feedback(agency: str, number: int) -> FeedbackReceived:
    return FeedbackReceived(
        case_id=f"{agency}-bench-{time.time_ns()}-{number:06d}",
        public_code=new_public_code(),
        regime="R2",
        category=1,
        channel=Channel.WEB,
        received_at=datetime.now(UTC),
        addressed_to=agency,
        subject="Đèn đường hỏng trước cổng trường",
        content="Đèn đường trên tuyến phố trước trường học đã hỏng ba tuần nay. " * 6,
        language="vi",
    )


def _directive(number: int) -> DirectivePublished:
    return DirectivePublished(
        action=DirectiveAction.PUBLISH,
        directive_id=f"bench-{time.time_ns()}-{number}",
        version=1,
        number=f"{number}/CT-UBND",
        document_type="CT",
        title="Về việc kiểm tra hệ thống chiếu sáng trước cổng trường học",
        body="Các đơn vị rà soát hệ thống chiếu sáng trước cổng trường học và báo cáo trước ngày 30. " * 6,
        body_format=BodyFormat.TEXT,
        language="vi",
        issued_on=datetime.now(UTC).date(),
        canonical_url="https://example.gov.vn/van-ban/chieu-sang",
    )


def _watch_ledger(bus: Address, sent: dict[str, float], found: Latencies, stop: threading.Event) -> None:
    with psycopg.connect(bus.database_url, autocommit=True) as connection:
        row = connection.execute("select next - 1 from ledger.position").fetchone()
        position = int(row[0]) if row else 0
        connection.execute("listen ledger")
        while not stop.is_set():
            for _ in connection.notifies(timeout=0.2, stop_after=1):
                pass
            rows = connection.execute(
                "select j.position, e.key from ledger.judgement j join ledger.event e using (agency, lane_offset)"
                " where j.position > %s order by j.position",
                (position,),
            ).fetchall()
            now = time.perf_counter()
            for position, key in rows:  # noqa: B007 - the last one is where to go on
                if key in sent:
                    found.ledger.append((now - sent.pop(key)) * 1000)


def _probe(bus: Address, key: str, began: float, found: Latencies) -> None:
    while time.perf_counter() - began < PATIENCE_SECONDS:
        try:
            with urlopen(f"{bus.web_url}/api/v1/directives/{key}", timeout=5) as answer:
                answer.read()
            found.api.append((time.perf_counter() - began) * 1000)
            return
        except HTTPError as error:
            if error.code != 404:
                raise
            time.sleep(0.01)


def _ticks(rate: int, seconds: float) -> Iterator[float]:
    began = time.perf_counter()
    for number in range(int(rate * seconds)):
        yield began + (number + 1) / rate


def _until(due: float) -> None:
    pause = due - time.perf_counter()
    if pause > 0:
        time.sleep(pause)
