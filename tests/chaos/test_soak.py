"""A long steady load: memory, threads and open files stay where they are, and nobody waits longer at the end.

`PORTALBUS_SOAK_MINUTES` says how long (30).
"""

from __future__ import annotations

import os
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import psutil
import psycopg
import pytest

from killing import Portals, agencies_of, judged_history, wait_for_rest
from portalbus.infra.bus.bus import Bus
from portalbus.schemas.directory import directory

RATE = 300.0
SAMPLES = 40
"""Looks at each process, at least, however short the time."""
SAMPLE_S = 5.0
WARM = 0.3
"""The first part of the time, in which caches fill, does not count."""
SLOPE_MB_PER_MINUTE = 1.0
FEEDBACKS_PER_MINUTE = RATE * 0.4 * 60
REMEMBERED_MB = 400e-6
"""What early warning may keep of a feedback's text; it remembers a million of them at most and fills all the while."""
MAY_GROW = {"warning": SLOPE_MB_PER_MINUTE + FEEDBACKS_PER_MINUTE * REMEMBERED_MB}
MOST_MORE = 2
"""Threads or files that a process may have more at the end: a pool that breathes is no leak."""
MOST_MORE_AT_FIRST = 6
"""The same in the first half minute, in which threads are made that stay."""
P99_S = 1.0
AGENCIES = [agency.code for agency in directory().current(datetime.now(UTC).date())[:10]]
SOURCES = [f"{agency}/{portal}" for agency in AGENCIES for portal in ("www", "edu")]
PARTS = 6
DELAYS = """
with heard as (
    select extract(epoch from judged_at - received_at)::float8 delay, width_bucket(extract(epoch from judged_at),
        extract(epoch from now() - make_interval(secs => %(seconds)s)), extract(epoch from now()), %(parts)s) part
    from ledger.event where judged_at > now() - make_interval(secs => %(seconds)s))
select part, count(*), percentile_cont(0.5) within group (order by delay),
    percentile_cont(0.99) within group (order by delay)
from heard where part between 1 and %(parts)s group by part order by part"""


class Delays(NamedTuple):
    """From lane to verdict in one part of the time, seconds."""

    part: int
    events: int
    p50: float
    p99: float


@dataclass
class Samples:
    """What one process held, over time."""

    at: list[float] = field(default_factory=list)
    resident_mb: list[float] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)

    def look(self, process: psutil.Process, at: float) -> None:
        """Looks once; a process and its children together."""
        with suppress(psutil.NoSuchProcess):  # a child that ends meanwhile: the next look sees what is there then
            family = [process, *process.children(recursive=True)]
            resident = sum(one.memory_info().rss for one in family) / 1e6
            threads, files = sum(one.num_threads() for one in family), sum(one.num_fds() for one in family)
            self.at.append(at)
            self.resident_mb.append(resident)
            self.threads.append(threads)
            self.files.append(files)

    @property
    def slope_mb_per_minute(self) -> float:
        """How fast its memory grows, once warm."""
        first = round(len(self.at) * WARM)
        return statistics.linear_regression(self.at[first:], self.resident_mb[first:]).slope * 60

    @staticmethod
    def more(counts: Sequence[int]) -> float:
        """How much more there is in the last third than in the middle one, in the median."""
        third = len(counts) // 3
        return statistics.median(counts[-third:]) - statistics.median(counts[third : 2 * third])


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    with Bus(tmp_path / "bus", workers=1, usual_ports=None) as bus:
        yield bus


def soak(bus: Bus, folder: Path, minutes: float, most_more: int = MOST_MORE) -> tuple[list[Delays], dict[str, Samples]]:
    """Publishes for so long, and looks at every process of the bus meanwhile.

    Nothing is lost or doubled, and threads and files stay as many as they are.
    """
    portals = Portals(bus, folder, SOURCES, processes=2, rate=RATE)
    portals.start()
    samples: dict[str, Samples] = defaultdict(Samples)
    processes = {one.name: psutil.Process(one.pid) for one in bus._processes if one.pid is not None}
    try:
        while not portals.history.exists():
            time.sleep(0.1)
        began = time.monotonic()
        while (now := time.monotonic() - began) < minutes * 60:
            for name, process in processes.items():
                samples[name].look(process, now)
            time.sleep(min(SAMPLE_S, minutes * 60 / SAMPLES))
        delays = _delays(bus, minutes * 60)
        portals.finish(within=120)
        wait_for_rest(bus, agencies_of(SOURCES), within=120)
    finally:
        portals.end()
    report = judged_history(bus, portals.history, agencies_of(SOURCES))
    print(f"\n{minutes:g} minutes at {RATE:g} events/s, one worker: {report.figures()}")
    for part, events, p50, p99 in delays:
        print(f"lane → verdict, part {part} of {PARTS}: {events} events, p50 {p50:.3f} s, p99 {p99:.3f} s")
    for name, held in samples.items():
        print(
            f"{name}: {held.resident_mb[-1]:.0f} MB, {held.slope_mb_per_minute:+.2f} MB a minute,"
            f" {held.threads[-1]} threads ({Samples.more(held.threads):+g}), {held.files[-1]} files"
            f" ({Samples.more(held.files):+g})"
        )
    report.must_be_clean()
    assert bus.failed() == []
    for name, held in samples.items():
        assert Samples.more(held.threads) <= most_more, name
        assert Samples.more(held.files) <= most_more, name
    return delays, samples


def _delays(bus: Bus, seconds: float) -> list[Delays]:
    with psycopg.connect(bus.addresses.database_url) as look:
        return [Delays(*row) for row in look.execute(DELAYS, {"seconds": seconds, "parts": PARTS})]


@pytest.mark.timeout(600)
def test_a_moment_of_load_loses_nothing_and_leaves_threads_and_files_as_many_as_they_were(
    bus: Bus, tmp_path: Path
) -> None:
    soak(bus, tmp_path, 20 / 60, MOST_MORE_AT_FIRST)


@pytest.mark.chaos
@pytest.mark.timeout(7_200)
def test_half_an_hour_of_load_leaves_memory_threads_and_files_where_they_were(bus: Bus, tmp_path: Path) -> None:
    delays, samples = soak(bus, tmp_path, float(os.environ.get("PORTALBUS_SOAK_MINUTES", "30")))
    assert [one.part for one in delays] == list(range(1, PARTS + 1)), "every part has its events"
    assert delays[-1].p99 < P99_S
    for name, held in samples.items():  # early warning is no leak: it fills what it may remember, which takes days
        assert held.slope_mb_per_minute < MAY_GROW.get(name, SLOPE_MB_PER_MINUTE), name
