"""`make bench`: the figures of the bus, each as a ratio or a bound, all sides measured in one run.

    python tests/bench/run.py [--only sdk,ledger,gateway,latency,footprint,warning] [--events 60000] [--report FILE]

Brings up a bus of its own in a temporary folder. Prints the machine, the versions and every side of every ratio, and
ends with status 1 when a mark is missed. Two fill databases with millions of rows first, which takes many minutes, so
nobody gets them unasked: `--only search` (`--documents 100000` is quicker; `--keep FOLDER` leaves it for the next time)
and `--only capacity`.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))
import bench_sdk
import capacity_bench
import gateway_bench
import latency_bench
import ledger_bench
import search_bench
import warning_bench
from portalbus.infra.bus.bus import Bus
from portalbus.infra.stack import Lines, Stack

LIBRARIES = ("confluent-kafka", "fastavro", "faust-streaming", "aiokafka", "pydantic", "psycopg")
LATENCY_RATE, LATENCY_SECONDS = 200, 30.0
IDLE_SECONDS = 20.0
GIGABYTE = 1_000_000_000


@dataclass
class Mark:
    """One figure beside what is asked of it."""

    name: str
    figure: float
    unit: str
    asked: str
    met: bool


@dataclass
class Report:
    """What a run found."""

    machine: dict[str, str]
    sides: dict[str, Any] = field(default_factory=dict)
    marks: list[Mark] = field(default_factory=list)

    def at_least(self, name: str, figure: float, bound: float, unit: str = "×") -> None:
        self.marks.append(Mark(name, figure, unit, f"≥ {bound:g} {unit}", figure >= bound))

    def below(self, name: str, figure: float, bound: float, unit: str) -> None:
        self.marks.append(Mark(name, figure, unit, f"< {bound:g} {unit}", figure < bound))


def main() -> int:
    """Runs the benches that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="sdk,ledger,gateway,latency,footprint,warning")
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the ledger bench; the median ratio counts")
    parser.add_argument("--documents", type=int, default=1_000_000, help="documents of the search bench")
    parser.add_argument("--keep", type=Path, help="folder of the search bench's database")
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    report = Report(machine())
    benches: dict[str, Callable[[], None]] = {
        "sdk": lambda: bench_sdk_side(report),
        "ledger": lambda: bench_ledger(report, options.events, options.rounds),
        "gateway": lambda: bench_gateway(report),
        "latency": lambda: bench_bus(report, footprint="footprint" in options.only),
        "warning": lambda: bench_warning(report),
        "search": lambda: bench_search(report, options.documents, options.keep),
        "capacity": lambda: bench_capacity(report),
    }
    for name, bench in benches.items():
        if name in options.only:
            bench()
    show(report)
    if options.report:
        options.report.parent.mkdir(parents=True, exist_ok=True)
        options.report.write_text(json.dumps(asdict(report), indent=2, ensure_ascii=False) + "\n")
    return 0 if all(mark.met for mark in report.marks) else 1


def bench_ledger(report: Report, events: int, rounds: int) -> None:
    """The worker beside the hand-written loop, Quix Streams and stock Faust, in turn, several rounds."""
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), progress=Lines(), usual_ports=None) as stack:
        ends = stack.endpoints
        peers = {
            "confluent_loop": None,
            "quix_streams": ledger_bench.quix_python(Path(folder) / "quix"),
            "stock_faust": None,
        }
        size = ledger_bench.fill_lanes(ledger_bench.Place(ends.bootstrap, ends.registry_url, ends.database_url), events)
        for turn in range(rounds):
            name = f"bench{turn}"
            with psycopg.connect(ends.database_url, autocommit=True) as connection:
                connection.execute(f"create database {name}".encode())
            place = ledger_bench.Place(
                ends.bootstrap, ends.registry_url, ends.database_url.rsplit("/", 1)[0] + f"/{name}"
            )
            rates.setdefault("portalbus worker", []).append(ledger_bench.time_worker(place, events))
            for peer, python in peers.items():
                rates.setdefault(peer, []).append(ledger_bench.time_peer(place, events, peer, python))
    report.sides["ledger, events/s"] = {name: [round(rate) for rate in found] for name, found in rates.items()}
    report.sides["ledger, mean value"] = f"{size} bytes, {events} events, 8 lanes"
    report.at_least("ledger ÷ hand-written confluent loop", _ratio(rates, "confluent_loop"), 0.8)
    report.at_least("ledger ÷ Quix Streams", _ratio(rates, "quix_streams"), 1.0)
    report.at_least("ledger ÷ stock Faust", _ratio(rates, "stock_faust"), 1.5)


def _ratio(rates: dict[str, list[float]], peer: str) -> float:
    pairs = zip(rates["portalbus worker"], rates[peer], strict=True)
    return statistics.median(ours / theirs for ours, theirs in pairs)


def bench_sdk_side(report: Report) -> None:
    """The SDK beside AvroSerializer and produce."""
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), progress=Lines(), usual_ports=None) as stack:
        found = bench_sdk.compare(stack.endpoints.bootstrap, stack.endpoints.registry_url, Path(folder) / "outbox")
    report.sides["sdk"] = found.sides
    report.at_least("publish ÷ AvroSerializer + produce", found.ratio, 0.25)
    report.below("publish(), p99", found.p99_ms, 5.0, "ms")


def bench_gateway(report: Report) -> None:
    """The HTTP gateway beside a bare endpoint, and with many readers of verdicts."""
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), progress=Lines(), usual_ports=None) as stack:
        ends, place = stack.endpoints, Path(folder) / "bench"
        place.mkdir()
        found = gateway_bench.compare(ends.bootstrap, ends.registry_url, place)
        readers = gateway_bench.with_readers(ends.bootstrap, ends.registry_url, place)
    report.sides["gateway"] = found.sides
    report.sides[f"gateway, {readers.readers} readers and {gateway_bench.READER_RATE} events/s"] = readers.sides
    report.at_least("gateway ÷ bare endpoint that only produces", found.ratio(found.bare), 0.5)
    report.at_least("readers that stay connected ÷ readers", readers.still_connected / readers.readers, 1.0)
    report.below("answer with 1,000 readers, p99", readers.sides["answer after it was due, p99 in ms"], 500, "ms")


def bench_warning(report: Report) -> None:
    """Texts that say nearly the same: how fast, how surely, and what a million of them take."""
    found = warning_bench.measure()
    report.sides |= {f"warning, {name}": sides for name, sides in found.sides.items()}
    report.at_least("texts of 40 words compared, a second and core", found.texts_a_second, 50_000, "texts/s")
    report.below("a million feedbacks remembered", found.mib, 256, "MiB")
    report.at_least("copies found", found.copies, 0.97, "of 1")
    report.at_least("paraphrases found", found.paraphrases, 0.85, "of 1")
    report.at_least("precision", found.precision, 0.99, "of 1")


def bench_search(report: Report, documents: int, keep: Path | None) -> None:
    """Search over many documents, 200 queries of every kind."""
    with tempfile.TemporaryDirectory() as folder:
        found = search_bench.run(keep or Path(folder), documents, documents // 10, 200)
    report.sides[f"search over {documents:,} documents, ms"] = {
        "p50": round(found.quantile(0.5), 1),
        "p95": round(found.quantile(0.95), 1),
        "p95, processor at work": round(found.quantile(0.95, worked=True), 1),
        "slowest": {query: round(ms, 1) for ms, query in found.slowest},
    }
    report.below("search, p95", found.quantile(0.95), search_bench.MARK_MS, "ms")


def bench_capacity(report: Report) -> None:
    """Ledgers of 10^5 to 10^7 rows, 50 to 5,600 sources, 1 to 4 workers."""
    with tempfile.TemporaryDirectory() as folder:
        found = capacity_bench.run(Path(folder), capacity_bench.parse([]))
    report.sides["capacity"] = asdict(found)
    report.marks.append(Mark("cost of an event, 10^7 rows ÷ 10^5", found.growth, "×", "≤ 1.25 ×", found.growth <= 1.25))
    latest = max(figures["latest, ms"] for figures in found.sources.values())
    report.below("latest of 5,600 sources", latest, capacity_bench.BOUND_MS, "ms")


def bench_bus(report: Report, *, footprint: bool) -> None:
    """Latency through the whole bus, and what the bus takes when nothing happens."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        with Bus(home, progress=Lines(), usual_ports=None) as bus:
            at = bus.addresses
            address = latency_bench.Address(at.bootstrap, at.registry_url, at.database_url, at.central_url)
            found = latency_bench.measure(address, Path(folder), rate=LATENCY_RATE, seconds=LATENCY_SECONDS)
        ledger, api = found.quantiles(found.ledger), found.quantiles(found.api)
        report.sides["latency at 200 events/s, publish → ledger row, ms"] = ledger
        report.sides["latency at 200 events/s, publish → API answer, ms"] = api
        report.below("publish → API, p50", api["p50"], 100, "ms")
        report.below("publish → API, p99", api["p99"], 500, "ms")
        if footprint:
            _measure_second_start(report, home)


def _measure_second_start(report: Report, home: Path) -> None:
    began = time.monotonic()
    with Bus(home, progress=Lines(), usual_ports=None):
        started = time.monotonic() - began
        time.sleep(IDLE_SECONDS)
        resident = {process.name(): 0 for process in psutil.Process().children(recursive=True)}
        for process in psutil.Process().children(recursive=True):
            resident[process.name()] += proportional(process)
    report.sides["resident by program when idle, MB"] = {name: round(size / 1e6) for name, size in resident.items()}
    report.below("second start", started, 20, "s")
    report.below("whole stack, idle", sum(resident.values()) / GIGABYTE, 1.5, "GB")


def proportional(process: psutil.Process) -> int:
    """Resident bytes of a process, with memory that it shares divided among those that share it (PSS)."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


def machine() -> dict[str, str]:
    """What the run was made on."""
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    memory = psutil.virtual_memory().total / GIGABYTE
    return {
        "machine": f"{os.cpu_count()} cores, {memory:.0f} GB, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **versions,
    }


def show(report: Report) -> None:
    """Prints everything."""
    console = Console()
    console.print("  ".join(f"{name} {version}" for name, version in report.machine.items()))
    for name, sides in report.sides.items():
        console.print(f"[bold]{name}[/]: {sides}")
    table = Table("figure", "measured", "asked", "")
    for mark in report.marks:
        table.add_row(mark.name, f"{mark.figure:.2f} {mark.unit}", mark.asked, "met" if mark.met else "[red]missed[/]")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
