"""From publish() to visible: 200 events a second from several portals through the real SDK, worker and API.

Two clocks are stopped for an event: when a reader of the ledger sees its row, and (for a sample) when the API
answers with the directive. The first seconds are not counted: the JVMs and the caches are cold.
"""

from __future__ import annotations

import contextlib
import http.client
import queue
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, urlsplit

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
WARM_UP_SECONDS = 10.0
PROBE_SECONDS = 0.005
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
    """Publishes `rate` events a second for this long (after the warm-up) and waits until each is visible."""
    found, sent, probed = Latencies(), dict[str, float](), queue.SimpleQueue[tuple[str, float] | None]()
    stop = threading.Event()
    watcher = threading.Thread(target=_watch_ledger, args=(bus, sent, found, stop))
    prober = threading.Thread(target=_probe_all, args=(bus, probed, found))
    warm_up = int(WARM_UP_SECONDS * rate)
    with contextlib.ExitStack() as stack:
        portals = [stack.enter_context(_portal(bus, agency, folder)) for agency in AGENCIES]
        watcher.start()
        prober.start()
        for number, due in enumerate(_ticks(rate, WARM_UP_SECONDS + seconds)):
            portal, agency = portals[number % len(portals)], AGENCIES[number % len(portals)]
            sample, counts = number % SAMPLE_EVERY == 0, number >= warm_up
            payload = _directive(number) if sample else _feedback(agency, number)
            key, began = aggregate_key(agency, payload), time.perf_counter()
            if counts:
                sent[key] = began
            portal.publish(payload)
            if sample and counts:
                probed.put((key, began))
            _until(due)
        total = number + 1 - warm_up
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(found.ledger) < total and time.monotonic() < deadline:
            time.sleep(0.05)
    probed.put(None)
    prober.join()
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
    options = "-c plan_cache_mode=force_custom_plan"  # the tables grow under it
    with psycopg.connect(bus.database_url, autocommit=True, options=options) as connection:
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


def _probe_all(bus: Address, probed: queue.SimpleQueue[tuple[str, float] | None], found: Latencies) -> None:
    """Asks the API for each sampled directive until it answers, over one connection, in turn."""
    connection = http.client.HTTPConnection(urlsplit(bus.web_url).netloc, timeout=5)
    awaited: list[tuple[str, float]] = []
    ended = False
    while awaited or not ended:
        with contextlib.suppress(queue.Empty):
            while True:
                news = probed.get(block=not awaited and not ended, timeout=PATIENCE_SECONDS)
                if news is None:
                    ended = True
                else:
                    awaited.append(news)
        for key, began in awaited.copy():
            connection.request("GET", f"/api/v1/directives/{quote(key)}")
            answer = connection.getresponse()
            answer.read()
            waited = time.perf_counter() - began
            if answer.status == 200:
                found.api.append(waited * 1000)
                awaited.remove((key, began))
            elif answer.status != 404 or waited > PATIENCE_SECONDS:
                raise RuntimeError(f"the API answered {answer.status} for {key} after {waited:.1f} s")
        time.sleep(PROBE_SECONDS)


def _ticks(rate: int, seconds: float) -> Iterator[float]:
    began = time.perf_counter()
    for number in range(int(rate * seconds)):
        yield began + (number + 1) / rate


def _until(due: float) -> None:
    pause = due - time.perf_counter()
    if pause > 0:
        time.sleep(pause)
