"""A clock that is off, for some modules, those of the SDK unless others are named: the rest knows the right time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, tzinfo
from types import ModuleType
from typing import Any
from unittest.mock import patch

from portalbus.producers import backlog, broker_clock, delivery, draft, lane_records, outbox

SDK = (backlog, broker_clock, delivery, draft, lane_records, outbox)


class OffTime:
    """The module `time` of a machine whose clock is ahead by so much."""

    def __init__(self, ahead: timedelta) -> None:
        self._seconds = ahead.total_seconds()

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def time(self) -> float:
        """Seconds since 1970 by this clock."""
        return time.time() + self._seconds

    def time_ns(self) -> int:
        """The same in nanoseconds."""
        return time.time_ns() + round(self._seconds * 1e9)


@contextmanager
def clock_ahead(ahead: timedelta, modules: Sequence[ModuleType] = SDK) -> Iterator[None]:
    """Inside, these modules read a clock that is ahead by so much, or behind."""

    class OffDatetime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.now(tz) + ahead

    with ExitStack() as patches:
        for module in modules:
            if vars(module).get("time") is time:
                patches.enter_context(patch.object(module, "time", OffTime(ahead)))
            if vars(module).get("datetime") is datetime:
                patches.enter_context(patch.object(module, "datetime", OffDatetime))
        yield
