"""Reconciliation on a timer in every worker, done by one at a time, and never in a hurry."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import psycopg
import structlog

from portalbus.streams.reconciling.reconciler import Reconciler

log = structlog.get_logger(__name__)

LOOK_SECONDS = 2.0
"""How often somebody looks whether something has been answered, or is due."""

WHOLE_EVERY = timedelta(hours=1)
"""Sources state all that they keep every hour, and the last two days with each heartbeat: so it is compared."""

RECENT_DAYS = 2
REST_SHARE = 3.0
"""For each second of reading, so many of rest: judging has the processor first."""


LONGEST_NAP_SECONDS = 0.5
"""After so long at the latest it is looked whether somebody waits."""

LONGEST_WAIT = timedelta(hours=1)
"""A worker with a backlog has better things to do, but not for ever."""


class Stopping(Exception):
    """The worker ends; what was begun is left, and begun anew by the next one."""


class GivingWay(Exception):
    """Somebody waits for the turn, an operator as a rule: what was begun is left, and begun anew later."""


class Keeper:
    """Keeps the store reconciled. `every` is the time between two looks at the last days; zero for never.

    Has a connection and a thread of its own, so that the intake never waits for it; but they share a processor, so
    nothing is begun while this worker is `behind`, for an hour at most. A database that is away ends one look; the next
    one tries again. An operator who wants to reconcile is let through at once: what was begun is begun anew later.
    """

    def __init__(
        self,
        make: Callable[[Callable[[], None]], Reconciler],
        every: timedelta,
        behind: Callable[[], bool] = lambda: False,
    ) -> None:
        self._every = every
        self._behind = behind
        self._waits_since: float | None = None
        self._stopping = threading.Event()
        self._worked_since = time.monotonic()
        self._reconciler = make(self._rest)
        self._thread = ThreadPoolExecutor(1, "reconcile")

    async def look(self) -> None:
        """Does what is due; returns at once when there is nothing."""
        if self._every:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._look)

    async def close(self) -> None:
        """Stops what is being done, at the next rest."""
        self._stopping.set()
        await asyncio.get_running_loop().run_in_executor(None, self._thread.shutdown)
        self._reconciler.close()

    def _look(self) -> None:
        try:
            if not self._stopping.is_set() and self._reconciler.take_turn():
                try:
                    self._do_what_is_due()
                finally:
                    self._reconciler.end_turn()
        except GivingWay:
            log.info("reconcile.gave-way")
        except Stopping:
            self._reconciler.close()
        except psycopg.Error as error:
            log.warning("reconcile.failed", error=type(error).__name__, sqlstate=error.sqlstate)
            self._reconciler.close()

    def _do_what_is_due(self) -> None:
        now = self._reconciler.now()
        any_at, whole_at = self._reconciler.last_runs()
        self._worked_since = time.monotonic()
        if _is_due(any_at, now, self._every) and not self._has_to_wait():
            whole = _is_due(whole_at, now, max(WHOLE_EVERY, self._every))
            since = None if whole else now.date() - timedelta(days=RECENT_DAYS - 1)
            compared = self._reconciler.run(since=since, slice=now.hour)
            if compared.differences or compared.differing_buckets:
                log.warning(
                    "reconcile.differences",
                    differences=compared.differences,
                    buckets=compared.differing_buckets,
                    events=compared.events,
                )
            self._reconciler.tell_lasting()
        if self._reconciler.has_news():
            self._reconciler.follow_up()
            self._reconciler.tell_lasting()

    def _has_to_wait(self) -> bool:
        """True while the worker is behind; from the first such moment on, for an hour at most."""
        if not self._behind():
            self._waits_since = None
            return False
        self._waits_since = self._waits_since or time.monotonic()
        return time.monotonic() - self._waits_since < LONGEST_WAIT.total_seconds()

    def _rest(self) -> None:
        rest_until = time.monotonic() + REST_SHARE * (time.monotonic() - self._worked_since)
        while True:
            if self._reconciler.is_awaited():
                raise GivingWay
            left = rest_until - time.monotonic()
            if self._stopping.wait(max(min(left, LONGEST_NAP_SECONDS), 0)):
                raise Stopping
            if left <= LONGEST_NAP_SECONDS:
                break
        self._worked_since = time.monotonic()


def _is_due(last: datetime | None, now: datetime, every: timedelta) -> bool:
    return last is None or last + every <= now
