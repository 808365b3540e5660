"""Time under the simulator's hand: one true time, and clocks that may be wrong about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from types import ModuleType
from typing import Any
from unittest.mock import patch

NOON = datetime(2026, 11, 20, 5, 0, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SimClock:
    """The true time, and how far the clock that is being read is off."""

    def __init__(self) -> None:
        self.true = NOON
        self.off = timedelta()
        """Of the machine whose code is running."""

    def now(self) -> datetime:
        """What the machine's clock shows."""
        return self.true + self.off

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.true += timedelta(seconds=seconds)

    @contextmanager
    def on_machine(self, off: timedelta) -> Iterator[None]:
        """Code inside sees a clock that is off by so much."""
        before, self.off = self.off, off
        try:
            yield
        finally:
            self.off = before

    # What the product asks of the module `time`.

    def time(self) -> float:
        """Seconds since 1970 by the machine's clock."""
        return (self.now() - EPOCH) / timedelta(seconds=1)

    def time_ns(self) -> int:
        """The same in nanoseconds, to the microsecond."""
        return (self.now() - EPOCH) // timedelta(microseconds=1) * 1_000

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return (self.true - NOON) / timedelta(seconds=1)


@contextmanager
def machines_read(clock: SimClock, modules: list[ModuleType]) -> Iterator[None]:
    """These modules' `time` and `datetime` are the clock's while inside."""

    class SimDatetime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return clock.now().astimezone(tz)

    patches: list[Any] = []
    for module in modules:
        names = vars(module)
        if isinstance(names.get("time"), ModuleType):
            patches.append(patch.object(module, "time", clock))
        if names.get("datetime") is datetime:
            patches.append(patch.object(module, "datetime", SimDatetime))
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in patches:
            one.stop()
