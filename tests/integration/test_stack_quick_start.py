"""A JVM of the embedded stack learns once on a machine what it takes to start, and starts quickly ever after."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from portalbus.infra.stack import Quiet, default_cache
from portalbus.infra.stack.fetch import Downloads
from portalbus.infra.stack.jars import Lock
from portalbus.infra.stack.kafka import Kafka
from portalbus.infra.stack.paths import StateFolder
from portalbus.infra.stack.ports import choose
from portalbus.infra.stack.quick_start import QuickStart

New = Callable[[Path], Kafka]


@pytest.fixture
def new(tmp_path: Path) -> Iterator[New]:
    """Gives a broker, always the same one, that shares a folder with others."""
    state = StateFolder.at(tmp_path / "state")
    state.create()
    ports = choose(None, lambda _: None, usual=None)
    jars = Downloads(Lock.shipped(), default_cache(), Quiet())
    made: list[Kafka] = []

    def kafka(folder: Path) -> Kafka:
        quick_start = QuickStart(folder, "kafka")
        made.append(Kafka(state, ports.kafka, ports.kafka_controller, lambda: jars.ensure("kafka"), quick_start))
        return made[-1]

    yield kafka
    for one in made:
        one.kill()


def processor_seconds(kafka: Kafka) -> float:
    """What a start has taken, until it answers."""
    kafka.start()
    times = psutil.Process(kafka.pid).cpu_times()
    return times.user + times.system


def has_taken(kafka: Kafka, cache: Path) -> bool:
    """True when the JVM runs on this cache: it maps only one that is good for it."""
    return str(cache) in {found.path for found in psutil.Process(kafka.pid).memory_maps()}


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def test_the_first_start_is_learned_from_and_later_ones_take_half_the_processor(new: New, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    first = new(folder)
    slow = processor_seconds(first)
    first.stop()
    assert only(folder, "*.record").stat().st_size > 1_000_000
    second = new(folder)
    quick = processor_seconds(second)
    cache = only(folder, "*.aot")
    cache.with_suffix(".0.record").touch()  # of another, which began before there was a cache
    assert has_taken(second, cache)
    second.stop()
    second.start()
    assert has_taken(second, cache)
    assert not list(folder.glob("*.record")), "nothing is left of what was learned, and nothing is learned twice"
    second.stop()
    print(f"\n{slow:.1f} s of a processor to start Kafka, then {quick:.1f} s")
    assert quick < 0.7 * slow

    cache.write_bytes(cache.read_bytes()[: cache.stat().st_size // 2])
    third = new(folder)
    third.start()
    assert not has_taken(third, cache), "a damaged one costs nothing but time"


def test_a_start_that_was_killed_has_taught_nothing_and_a_record_cut_short_is_thrown_away(
    new: New, tmp_path: Path
) -> None:
    folder = tmp_path / "shared"
    first = new(folder)
    first.start()
    first.kill()
    assert not list(folder.glob("*.record"))
    first.start()
    first.stop()
    record = only(folder, "*.record")
    record.write_bytes(record.read_bytes()[:100_000])
    first.start()
    assert not record.exists()
    assert not list(folder.glob("*.aot"))
    first.stop()
    assert only(folder, "*.record").stat().st_size > 1_000_000, "it has learned anew"


def test_where_nothing_may_be_written_it_starts_as_ever(new: New, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    kafka = new(tmp_path / "file" / "shared")  # a folder that cannot be made, for root either
    kafka.start()
    assert not any(part.startswith("-XX:AOT") for part in psutil.Process(kafka.pid).cmdline())
