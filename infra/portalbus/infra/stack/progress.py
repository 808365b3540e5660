"""How a long start tells the person in front of it what it is doing."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.text import Text

MEGABYTE = 1_000_000


class Progress(Protocol):
    """Receives the steps of a start; called from several threads."""

    def step(self, name: str) -> None:
        """A step begins."""

    def update(self, name: str, done: int, total: int, unit: str) -> None:
        """A step has got so far; `unit` is "bytes" or a plural noun."""

    def done(self, name: str, note: str = "") -> None:
        """A step has ended well."""

    def note(self, text: str) -> None:
        """Something worth knowing that is no step."""


def amount(done: int, total: int, unit: str) -> str:
    """Write "12.3 of 203.2 MB" or "3 of 45 files"."""
    if unit == "bytes":
        return f"{done / MEGABYTE:.1f} of {total / MEGABYTE:.1f} MB"
    return f"{done} of {total} {unit}"


class Quiet:
    """Tells nothing."""

    def step(self, name: str) -> None: ...
    def update(self, name: str, done: int, total: int, unit: str) -> None: ...
    def done(self, name: str, note: str = "") -> None: ...
    def note(self, text: str) -> None: ...


class Lines:
    """One line for each step, and one for each tenth of a long one: for logs and pipes."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._lock = threading.Lock()
        self._started: dict[str, float] = {}
        self._tenth: dict[str, int] = {}

    def _print(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def step(self, name: str) -> None:
        with self._lock:
            self._started[name] = time.monotonic()
            self._print(f"  … {name}")

    def update(self, name: str, done: int, total: int, unit: str) -> None:
        tenth = done * 10 // max(total, 1)
        with self._lock:
            if tenth > self._tenth.get(name, 0):
                self._tenth[name] = tenth
                self._print(f"  … {name}: {amount(done, total, unit)}")

    def done(self, name: str, note: str = "") -> None:
        with self._lock:
            seconds = time.monotonic() - self._started.pop(name, time.monotonic())
            self._tenth.pop(name, None)
            self._print(f"  ✓ {name} ({note + ', ' if note else ''}{seconds:.1f} s)")

    def note(self, text: str) -> None:
        with self._lock:
            self._print(f"  · {text}")


class RichBars:
    """A spinner or a bar for each step under way; finished steps stay as lines above. A context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._lock = threading.Lock()
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[amount]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def step(self, name: str) -> None:
        with self._lock:
            self._started[name] = time.monotonic()
            self._tasks[name] = self._bars.add_task(name, total=None, amount="")

    def update(self, name: str, done: int, total: int, unit: str) -> None:
        with self._lock:
            task = self._tasks.get(name)
            if task is not None:
                self._bars.update(task, completed=done, total=total, amount=amount(done, total, unit))

    def done(self, name: str, note: str = "") -> None:
        with self._lock:
            task = self._tasks.pop(name, None)
            if task is not None:
                self._bars.remove_task(task)
            seconds = time.monotonic() - self._started.pop(name, time.monotonic())
            took = f" ({note + ', ' if note else ''}{seconds:.1f} s)"
            self._console.print(Text.assemble("  ", ("✓", "green"), f" {name}", (took, "dim")))

    def note(self, text: str) -> None:
        with self._lock:
            self._console.print(Text.assemble("  ", ("·", "yellow"), f" {text}"))


def for_terminal(console: Console | None = None) -> RichBars | Lines:
    """Return bars when standard error is a terminal, plain lines when it is not."""
    console = console or Console(stderr=True)
    return RichBars(console) if console.is_terminal else Lines()
