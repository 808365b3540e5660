"""A rebuild from beginning to end: the shadow, the replay, the comparison, the exchange."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self

from psycopg import Connection, IsolationLevel

from portalbus.schemas.codec import WriterSchemas
from portalbus.schemas.directory import AgencyDirectory
from portalbus.streams.ledger.database import connect
from portalbus.streams.ledger.order import take_position
from portalbus.streams.rebuilding.exchanging import exchange
from portalbus.streams.rebuilding.fold_tables import FOLD
from portalbus.streams.rebuilding.lane_reader import Lanes
from portalbus.streams.rebuilding.replaying import Replay
from portalbus.streams.rebuilding.shadow import SHADOW, connect_to_shadow, drop_shadow, make_shadow
from portalbus.streams.rebuilding.step_reading import last_step

RECORDS = """
select coalesce(sum((run->>2)::bigint - (run->>1)::bigint), 0)
from ledger.step cross join lateral jsonb_array_elements(told) run where kind = 'records'"""
SILENT_LANES = f"""
insert into {SHADOW}.lane (agency, next_offset, heartbeats)
select agency, next_offset, heartbeats from ledger.lane
where not exists (select from ledger.event where event.agency = lane.agency) on conflict do nothing"""
"""A lane of which nothing was judged is what it was set to."""

FEW_STEPS = 50

Progress = Callable[[int, int], None]
"""Hears how many records were replayed, and how many there are."""


class Rebuild:
    """Rebuilds a ledger in its shadow. A context manager: at the end the shadow is dropped."""

    def __init__(
        self,
        database_url: str,
        lanes: Lanes,
        writers: WriterSchemas,
        directory: AgencyDirectory,
        *,
        bounds: Mapping[str, Any] | None = None,
        reread: bool = False,
    ) -> None:
        self._url = database_url
        self._lanes = lanes
        self._writers = writers
        self._directory = directory
        self._bounds = bounds
        self._reread = reread
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            self._live: Connection[Any] = opened.enter_context(
                connect(self._url, application="rebuild", autocommit=True)
            )
            make_shadow(self._live)
            opened.callback(drop_shadow, self._live)
            shadow = opened.enter_context(connect_to_shadow(self._url))
            self.replay = Replay(
                self._live,
                shadow,
                self._lanes,
                self._writers,
                self._directory,
                bounds=self._bounds,
                reread=self._reread,
            )
            self._open = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def run(self, progress: Progress = lambda done, total: None) -> int:
        """Replays everything up to where the live ledger is now, or nearly; returns the number of records."""
        total = self._records()
        progress(0, total)

        def replayed(_: int) -> None:
            progress(self.replay.records, max(total, self.replay.records))

        while last_step(self._live) - self.replay.step > FEW_STEPS or not self.replay.step:
            if not self.replay.catch_up(replayed):
                break
        return self.replay.records

    @contextmanager
    def one_moment(self) -> Iterator[Connection[Any]]:
        """A connection that sees the live ledger and its shadow at one moment, with the same records in both.

        Judging waits while the shadow catches up: some milliseconds.
        """
        self.replay.catch_up()
        with connect(self._url, application="rebuild") as looking:
            looking.isolation_level = IsolationLevel.REPEATABLE_READ
            with connect(self._url, application="rebuild") as holding:
                take_position(holding)
                self.replay.catch_up()
                self._live.execute(SILENT_LANES)
                looking.execute("select 1")
                holding.rollback()
            yield looking
            looking.rollback()

    def exchange(self) -> None:
        """Puts the rebuilt tables in the place of the live ones. Raises OtherWay, and then nothing has changed."""
        self.replay.catch_up()
        for table in FOLD:
            if table.exchanged:
                self._live.execute(f'analyze {SHADOW}."{table.name}"')
        with connect(self._url, application="rebuild") as connection:
            exchange(connection, self.replay.catch_up)

    def _records(self) -> int:
        row = self._live.execute(RECORDS).fetchone()
        return int(row[0]) if row else 0
