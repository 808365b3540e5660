"""What an event and a source cost, and how that grows: rows of the ledger, sources, workers.

    make bench ARGS="--only capacity"
    python tests/bench/capacity_bench.py [--only rows,sources,workers] [--rows 100000,1000000,10000000]
        [--sources 50,500,5600] [--workers 1,2,4] [--events 40000] [--report FILE]

Rows: the same lanes are read by a worker into ledgers that hold so many events already, in turn, several rounds; the
median of each is compared with the smallest. Sources: a burst of events of so many sources into one worker, then five
events a second of each hundred sources, while each event is watched until the ledger has it. Workers: the same burst
for so many workers. Prints every side; ends with status 1 when a mark is missed. Ten million rows take some 6 GB of
disk and a quarter of an hour.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil
import psycopg
from confluent_kafka import Message, Producer

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))
from ledger_bench import AGENCIES, feedback_of
from portalbus.infra.stack import Endpoints, Lines, Stack
from portalbus.schemas.codec import encode_event
from portalbus.schemas.topics import lane_of
from whole_bus import Bus, Running

ROUNDS = 3
MOST_GROWTH = 1.25
BOUND_MS = 1_000.0
STEADY_SECONDS = 60.0
DEADLINE_SECONDS = 600.0
CHUNK = 250_000

Record = tuple[str, bytes, bytes]
"""Lane, key and value."""


@dataclass
class Found:
    """Everything measured; rates are events a second, memory is resident MB of the largest worker."""

    rows: dict[int, list[float]] = field(default_factory=dict)
    gigabytes: dict[int, float] = field(default_factory=dict)
    sources: dict[int, dict[str, float]] = field(default_factory=dict)
    workers: dict[int, dict[str, float]] = field(default_factory=dict)

    @property
    def growth(self) -> float:
        """Cost of an event with the most rows ÷ cost with the fewest: the median of the rounds."""
        fewest, most = min(self.rows), max(self.rows)
        return statistics.median(few / many for few, many in zip(self.rows[fewest], self.rows[most], strict=True))

    def misses(self) -> list[str]:
        """The marks that were missed, in words."""
        missed = []
        if len(self.rows) > 1 and self.growth > MOST_GROWTH:
            missed.append(f"an event costs {self.growth:.2f} times as much with the most rows, asked ≤ {MOST_GROWTH}")
        for sources, figures in self.sources.items():
            if figures["latest, ms"] > BOUND_MS:
                missed.append(f"of {sources} sources one was {figures['latest, ms']:.0f} ms late, asked ≤ {BOUND_MS:g}")
        return missed


class Sources:
    """Events of any number of sources, each with its own sequence."""

    def __init__(self, schema_id: int, count: int) -> None:
        self._schema_id = schema_id
        self._count = count
        self._made = 0

    def events(self, count: int) -> list[Record]:
        """The next events, evenly over the sources, and those over the lanes."""
        now, made = datetime.now(UTC), []
        for index in range(self._made, self._made + count):
            turn, source = divmod(index, self._count)
            agency, portal = AGENCIES[source % len(AGENCIES)], f"p{source // len(AGENCIES):04}"
            event = feedback_of(agency, portal, turn + 1, index, now)
            made.append((lane_of(agency), event.key.encode(), encode_event(event, self._schema_id)))
        self._made += count
        return made


def fill(bus: Bus, events: Sequence[Record]) -> None:
    """Puts events on their lanes, and waits until the broker has them."""
    for topic, key, value in events:
        while True:
            try:
                bus.producer.produce(topic, value, key)
                break
            except BufferError:
                bus.producer.poll(0.1)
    assert bus.producer.flush(120) == 0


def done(bus: Bus) -> int:
    """How many records the ledger has judged."""
    row = bus.look.execute("select coalesce(sum(next_offset), 0) from ledger.lane").fetchone()
    return int(row[0]) if row else 0


def rate(bus: Bus, wanted: int) -> float:
    """Events a second from the first commit seen from now on to the one that completes `wanted`."""
    start, deadline = done(bus), time.monotonic() + DEADLINE_SECONDS
    first: tuple[float, int] | None = None
    while time.monotonic() < deadline:
        count, now = done(bus), time.monotonic()
        if first is None and count > start:
            first = (now, count)
        if first and count >= wanted:
            if count == first[1]:
                raise RuntimeError(f"{wanted - start} events are too few to be timed")
            return (count - first[1]) / max(now - first[0], 1e-6)
        time.sleep(0.02)
    raise RuntimeError(f"{done(bus)} of {wanted} events; {bus.processes[-1].text()[-2_000:]}")


def measure_rows(endpoints: Endpoints, folder: Path, sizes: Sequence[int], events: int, found: Found) -> None:
    """The cost of an event in ledgers of these sizes, in turn."""
    lanes = Bus(endpoints, folder, AGENCIES).open()
    sources = Sources(lanes.schema_ids["FeedbackReceived"], 56)
    ledgers = {size: Bus(endpoints, folder, AGENCIES).open_ledger() for size in sizes}
    for size, bus in ledgers.items():
        fill_ledger(bus.database_url, size)
    for turn in range(ROUNDS + 1):
        fill(lanes, sources.events(events))
        for size, bus in ledgers.items():
            worker = bus.start_worker()
            found_rate = rate(bus, (turn + 1) * events)
            assert worker.stop() == 0
            if turn:  # the first one warms the caches
                found.rows.setdefault(size, []).append(round(found_rate))
            print(f"{size:,} rows: {found_rate:,.0f} events/s", flush=True)
    for size, bus in ledgers.items():
        row = bus.look.execute("select pg_database_size(current_database())").fetchone()
        found.gigabytes[size] = round(row[0] / 1e9, 2) if row else 0.0
        bus.close()
    lanes.close()


def fill_ledger(url: str, rows: int) -> None:
    """Puts so many judged events of 5,600 sources, every second of a case of its own, into a ledger."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("set synchronous_commit = off")
        connection.execute(SOURCES)
        for first in range(0, rows, CHUNK):
            connection.execute(EVENTS, {"first": first, "last": min(first + CHUNK, rows) - 1, "rows": rows})
            print(f"\r{min(first + CHUNK, rows):,} of {rows:,} rows", end="", file=sys.stderr, flush=True)
        connection.execute("update ledger.position set next = next + %s", (rows,))
        for table in (b"event", b"judgement", b'"case"', b"relayed", b"source"):
            connection.execute(b"vacuum analyze ledger." + table)
        print(file=sys.stderr)


SOURCES = """
insert into ledger.source (agency, portal, first_heard_at, last_heard_at, last_sequence)
select 'X' || lpad((n % 70)::text, 2, '0'), 'p' || n, now(), now(), 1 from generate_series(0, 5599) n"""
EVENTS = """
with numbered as (
    select n, 'X' || lpad((n %% 70)::text, 2, '0') agency, n / 70 lane_offset, 'p' || (n %% 5600) portal,
        now() - (%(rows)s - n) * interval '3 seconds' as at
    from generate_series(%(first)s::int8, %(last)s::int8) n
), judged as (
    insert into ledger.judgement (position, agency, lane_offset, status, final, rule, judged_at, canonical)
    select n + 1, agency, lane_offset, 'ACCEPTED', true, 'accepted', at, null from numbered
), sent as (
    insert into ledger.relayed (position, topic, partition, "offset")
    select n + 1, 'central.feedback-received', n %% 3, n / 3 from numbered
), cases as (
    insert into ledger."case" (case_id, public_code, receiver, owner, regime, category, channel, urgency, subject,
        content, language, received_at, state, position)
    select agency || '-' || n, upper(substr(md5(n::text), 1, 16)), agency, agency, 'R2', 1, 'WEB', 'NORMAL',
        'Đèn đường hỏng trước cổng trường', repeat('Đèn đường trên tuyến phố đã hỏng ba tuần nay. ', 5), 'vi', at,
        'RECEIVED', n + 1
    from numbered where n %% 2 = 0
)
insert into ledger.event (agency, lane_offset, event_id, claims_id, event_type, portal, epoch, sequence, key,
    content_hash, occurred_at, published_at, received_at, judged_at, position, status, final, rule)
select agency, lane_offset, uuidv7((n - %(rows)s) * interval '3 seconds'), true, 'FeedbackReceived', portal, 1,
    n / 5600 + 1, agency || '-' || n / 2 * 2, decode(md5(n::text) || md5((-n)::text), 'hex'), at, at, at, at, n + 1,
    'ACCEPTED', true, 'accepted'
from numbered"""


def measure_sources(
    endpoints: Endpoints,
    folder: Path,
    counts: Sequence[int],
    events: int,
    found: Found,
    seconds: float = STEADY_SECONDS,
) -> None:
    """A burst of so many sources, then a steady stream of them for so long, into one worker."""
    for count in counts:
        bus = Bus(endpoints, folder, AGENCIES).open()
        sources = Sources(bus.schema_ids["FeedbackReceived"], count)
        worker = started(bus, 1)[0]
        burst = sources.events(max(events // count, 2) * count)
        fill(bus, burst)
        burst_rate = rate(bus, len(burst))
        late = sorted(_steady(bus, sources.events(int(max(count / 20, 10.0) * seconds)), len(burst), seconds))
        found.sources[count] = {
            "burst, events/s": round(burst_rate),
            "steady, events/s": round(len(late) / seconds),
            "p50, ms": round(statistics.median(late), 1),
            "p99, ms": round(late[int(len(late) * 0.99)], 1),
            "latest, ms": round(late[-1], 1),
            "worker, MB": resident(worker),
        }
        print(f"{count:,} sources: {found.sources[count]}", flush=True)
        assert worker.stop() == 0
        bus.close()


def _steady(bus: Bus, events: Sequence[Record], before: int, seconds: float) -> list[float]:
    """Sends the events evenly over the time; milliseconds from each one's acknowledgement to the ledger's commit."""
    acknowledged: dict[str, list[tuple[int, float]]] = {agency: [] for agency in AGENCIES}
    late: list[float] = []

    def heard(error: object, message: Message) -> None:
        assert error is None, error
        offset, topic = message.offset(), message.topic()
        assert offset is not None and topic is not None
        acknowledged[topic.rsplit(".", 1)[-1]].append((offset, time.monotonic()))

    def look() -> None:
        for agency, next_offset in bus.look.execute("select agency, next_offset from ledger.lane").fetchall():
            at, waiting = time.monotonic(), acknowledged[agency]
            judged = [one for one in waiting if one[0] < next_offset]
            late.extend((at - since) * 1_000 for _, since in judged)
            del waiting[: len(judged)]

    producer = Producer({"bootstrap.servers": bus.endpoints.bootstrap, "enable.idempotence": True, "linger.ms": 5})
    began, pause = time.monotonic(), seconds / len(events)
    for number, (topic, key, value) in enumerate(events):
        while time.monotonic() < began + number * pause:
            producer.poll(0.002)
            look()
        producer.produce(topic, value, key, on_delivery=heard)
    assert producer.flush(60) == 0
    deadline = time.monotonic() + 60
    while len(late) < len(events):
        look()
        assert time.monotonic() < deadline, f"{done(bus) - before} of {len(events)} events"
    return late


def measure_workers(endpoints: Endpoints, folder: Path, counts: Sequence[int], events: int, found: Found) -> None:
    """The same burst for so many workers, each with its share of the lanes before it begins."""
    for count in counts:
        bus = Bus(endpoints, folder, AGENCIES).open()
        running = started(bus, count)
        burst = Sources(bus.schema_ids["FeedbackReceived"], 56).events(events)
        fill(bus, burst)
        found.workers[count] = {
            "events/s": round(rate(bus, len(burst))),
            "worker, MB": max(resident(worker) for worker in running),
        }
        print(f"{count} workers: {found.workers[count]}", flush=True)
        for worker in running:
            assert worker.stop() == 0
        bus.close()


def started(bus: Bus, count: int) -> list[Running]:
    """So many workers that share the lanes, each of which has its part."""
    running = [bus.start_worker() for _ in range(count)]

    def shared() -> bool:
        lanes = [bus.lanes_of(worker) for worker in running]
        return sum(lanes) == len(AGENCIES) and all(lanes)

    bus.wait_until(shared, "every worker has lanes", 120)
    return running


def resident(worker: Running) -> int:
    """Resident MB of a worker and of the decoder it has started."""
    process = psutil.Process(worker.pid)
    return round(sum(one.memory_info().rss for one in [process, *process.children(recursive=True)]) / 1e6)


def run(folder: Path, options: argparse.Namespace) -> Found:
    """Measures what was asked for, each part on a stack of its own; `options` are those of `parse`."""
    parts: dict[str, Callable[[Endpoints, Path, Found], None]] = {
        "rows": lambda ends, place, found: measure_rows(ends, place, options.rows, options.events, found),
        "sources": lambda ends, place, found: measure_sources(ends, place, options.sources, options.events, found),
        "workers": lambda ends, place, found: measure_workers(ends, place, options.workers, options.events, found),
    }
    found = Found()
    for name, part in parts.items():
        if name in options.only:
            place = folder / name
            place.mkdir()
            with Stack(place / "stack", progress=Lines(), usual_ports=None) as stack:
                part(stack.endpoints, place, found)
    return found


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What is to be measured."""

    def numbers(text: str) -> list[int]:
        return [int(part) for part in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="rows,sources,workers")
    parser.add_argument("--rows", type=numbers, default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--sources", type=numbers, default=[50, 500, 5_600])
    parser.add_argument("--workers", type=numbers, default=[1, 2, 4])
    parser.add_argument("--events", type=int, default=40_000, help="events of one round")
    parser.add_argument("--report", type=Path)
    return parser.parse_args(arguments)


def main() -> int:
    """Prints what was measured."""
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), options)
    print(json.dumps(asdict(found), indent=2, ensure_ascii=False))
    if len(found.rows) > 1:
        print(f"cost of an event, most rows ÷ fewest: {found.growth:.2f}, asked ≤ {MOST_GROWTH}")
    if options.report:
        options.report.write_text(json.dumps(asdict(found), indent=2, ensure_ascii=False) + "\n")
    for missed in found.misses():
        print(f"missed: {missed}")
    return 1 if found.misses() else 0


if __name__ == "__main__":
    raise SystemExit(main())
