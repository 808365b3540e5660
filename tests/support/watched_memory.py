"""How much memory a process of the bus and its children hold."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from whole_bus import Running

SAMPLE_S = 0.05


class Memory:
    """The most that a process and its children have held, in MB, each by itself."""

    def __init__(self) -> None:
        self.most: dict[int, float] = {}

    @property
    def worker(self) -> float:
        """The largest process."""
        return max(self.most.values())

    def look(self, process: psutil.Process) -> None:
        """Looks once."""
        for one_of_them in (process, *process.children(recursive=True)):
            try:
                held = one_of_them.memory_info().rss / 1e6
            except psutil.NoSuchProcess:
                continue
            self.most[one_of_them.pid] = max(held, self.most.get(one_of_them.pid, 0.0))


@contextmanager
def watched(worker: Running | subprocess.Popen[bytes]) -> Iterator[Memory]:
    """Looks at the memory of a worker again and again."""
    memory, ended = Memory(), threading.Event()
    process = psutil.Process(worker.pid)

    def watch() -> None:
        while not ended.wait(SAMPLE_S):
            memory.look(process)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield memory
    finally:
        ended.set()
        thread.join(10)
