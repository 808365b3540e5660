"""The watch: on a timer in every worker, held by one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import psycopg
import structlog
from psycopg import Connection

from portalbus.schemas.topics import agency_of
from portalbus.schemas.working_time import WorkingTime
from portalbus.streams.ledger.alerts import tell_alerts
from portalbus.streams.ledger.database import WORKER_OPTIONS, KeptConnection
from portalbus.streams.silence.deadlines import PATIENCE, Patience
from portalbus.streams.silence.judging import judge_silence
from portalbus.streams.silence.learning import learn_slice, learn_sources

log = structlog.get_logger(__name__)

SLICES = 10
"""Slices learned at one look; a ledger that was never looked at is learned over several."""

HEAR = """
insert into ledger.hearing (agency, heard_until, heard_since)
select agency, heard_until, heard_until from unnest(%(agencies)s::text[], %(moments)s::timestamptz[])
    as heard(agency, heard_until)
on conflict (agency) do update set heard_until = greatest(hearing.heard_until, excluded.heard_until),
    heard_since = case when excluded.heard_until > hearing.heard_until + make_interval(secs => %(break)s)
        then excluded.heard_until else hearing.heard_since end"""
TAKE_WATCH = "select 1 from ledger.watch for update skip locked"
END = "select next - 1, clock_timestamp() from ledger.position"


class Watcher:
    """Looks for silence. `heard_until` tells, by lane, up to which moment this worker has taken in everything.

    Has a connection and a thread of its own, so that the intake never waits for it. A database that is away ends one
    look; the next one tries again. The time is the database's, unless a `clock` is given.
    """

    def __init__(
        self,
        database_url: str,
        heard_until: Callable[[], Mapping[str, datetime]],
        working: WorkingTime,
        *,
        patience: Patience = PATIENCE,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._heard_until = heard_until
        self._working = working
        self._patience = patience
        self._clock = clock
        self._kept = KeptConnection(database_url, application="watch", options=WORKER_OPTIONS)
        self._thread = ThreadPoolExecutor(1, "watch")
        self._unknown_year: int | None = None

    async def look(self) -> None:
        """Looks once, in the watch's own thread. Raises psycopg.Error."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self.look_now)

    def look_now(self) -> None:
        """Says what this worker has heard, and keeps watch unless another worker does. Raises psycopg.Error."""
        try:
            connection = self._kept.open()
            with connection.transaction():
                self._say_heard(connection)
            with connection.transaction():
                self._watch(connection)
        except psycopg.Error:
            self.disconnect()
            raise

    async def close(self) -> None:
        """Waits for the look under way and closes the connection."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self.disconnect)
        self._thread.shutdown(wait=False)

    def _say_heard(self, connection: Connection[Any]) -> None:
        heard = self._heard_until()
        agencies = sorted(heard)
        if agencies:
            connection.execute(
                HEAR,
                {
                    "agencies": [agency_of(lane) for lane in agencies],
                    "moments": [heard[lane] for lane in agencies],
                    "break": self._patience.break_after,
                },
            )

    def _watch(self, connection: Connection[Any]) -> None:
        if connection.execute(TAKE_WATCH).fetchone() is None:
            return
        end, now = connection.execute(END).fetchone() or (0, datetime.now(UTC))
        if self._clock is not None:
            now = self._clock()
        self._warn_of_unknown_year(now.year)
        learned = any(learn_slice(connection, end, self._working, self._patience) for _ in range(SLICES))
        if not learned:
            return  # what was heard is not all known yet: nobody may be called silent
        learn_sources(connection, self._working, self._patience)
        found = judge_silence(connection, now, self._working, self._patience)
        for alert in tell_alerts(connection, found.raised, found.over, now):
            log.warning(
                "silence.alert",
                kind=alert.kind,
                status=alert.status.value,
                agency=alert.agency,
                portal=alert.portal,
                event_type=alert.event_type,
            )

    def _warn_of_unknown_year(self, year: int) -> None:
        if year != self._unknown_year and not self._working.knows(year):
            self._unknown_year = year
            log.warning("silence.days-off-unknown", year=year, mend="name a newer file in PORTALBUS_DAYS_OFF")

    def disconnect(self) -> None:
        """Closes the connection; the next look opens another one."""
        self._kept.close()
