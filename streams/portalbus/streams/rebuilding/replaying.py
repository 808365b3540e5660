"""Replaying the ledger's steps into its shadow: the same records, in the same order, judged by the same code."""

from __future__ import annotations

from base64 import b64decode
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from psycopg import Connection

from portalbus.schemas.codec import WriterSchemas
from portalbus.schemas.directory import AgencyDirectory
from portalbus.streams.decoding.contents import DEADLY, content_of
from portalbus.streams.judgement.bounds import Bounds
from portalbus.streams.judgement.docket import Content, Docket, Item, Unreadable
from portalbus.streams.judgement.gaps import LONG_AGO
from portalbus.streams.ledger.decider import Decider
from portalbus.streams.ledger.fetching import fetch_history
from portalbus.streams.ledger.gap_desk import close_gap
from portalbus.streams.ledger.hearing import HeardLanes
from portalbus.streams.ledger.ledger import Ledger
from portalbus.streams.ledger.order import take_position
from portalbus.streams.ledger.parking_limit import ParkingLimit
from portalbus.streams.ledger.source_desk import SourceStatus, set_source
from portalbus.streams.ledger.steps import Run, StepKind, Told
from portalbus.streams.parking.deciding import Parking
from portalbus.streams.rebuilding.lane_reader import Lanes
from portalbus.streams.rebuilding.step_reading import Step, grouped, steps_after
from portalbus.streams.reconciling.releasing import release_waiting
from portalbus.streams.records import LaneRecord

OPEN_LANE = """
insert into ledger.lane (agency, next_offset) select * from unnest(%s::text[], %s::int8[]) on conflict do nothing"""
MOVE_ON = "update ledger.position set next = greatest(next, %s)"
PARKED = """
select p.agency, p.lane_offset, p.reason, p.detail, p.headers
from unnest(%s::text[], %s::int8[], %s::int8[]) run(agency, first, after)
join ledger.parked p on p.agency = run.agency and p.lane_offset >= run.first and p.lane_offset < run.after"""
FIRST_JUDGED = "select min(lane_offset) from ledger.event where agency = %s"
REBUILDER = Decider("rebuild", "as it was decided then")
NO_LIMIT = ParkingLimit(share=1)

Replayed = Callable[[int], None]
"""Hears how many records were replayed since it was last told."""


class KeptAside(NamedTuple):
    """What the live ledger keeps of a parked record."""

    reason: str
    detail: str
    headers: Sequence[tuple[str, str]]


class StepsMissing(Exception):
    """The ledger has judged records of which no step tells: the order in which they were judged is not known."""


class ShadowLedger(Ledger):
    """Takes steps into the shadow, each at its own time and under its own bounds."""

    def __init__(self, writers: WriterSchemas, directory: AgencyDirectory) -> None:
        super().__init__("", writers, directory, parking_limit=NO_LIMIT, clock=lambda: self.now)
        self.now = datetime.now(UTC)

    def take_steps(
        self, connection: Connection[Any], steps: Sequence[Step], items: Sequence[Sequence[Item]], bounds: Bounds
    ) -> None:
        """Takes in steps of records in one transaction, as if each had one of its own."""
        self._bounds = bounds
        everything = [item for some in items for item in some]
        before = self._before(connection, everything)
        history = fetch_history(connection, everything, self._decode, room=bounds.room)
        docket = Docket(history, self._directory, take_position(connection), bounds)
        begun: list[int] = []
        for step, some in zip(steps, items, strict=True):
            docket.next_position = max(docket.next_position, step.position)  # others took positions in between
            begun.append(docket.next_position)
            docket.hear(some)
        self.now = steps[-1].at
        after = {**before, **{item.record.agency: item.record.offset + 1 for item in everything}}
        moments = [step.at for step in steps]
        self._write(
            connection,
            docket,
            Told(StepKind.RECORDS, []),
            self.now,
            before,
            after,
            judged_at=lambda position: moments[bisect_right(begun, position) - 1],
        )

    def take_timer(self, connection: Connection[Any], step: Step, bounds: Bounds) -> None:
        """Does again what a timer did."""
        self._bounds, self.now = bounds, step.at
        if step.kind is StepKind.EXPIRY:
            lanes = {agency: datetime.fromisoformat(now) for agency, now in step.told.items()}
            self._expire(connection, HeardLanes(lanes, LONG_AGO if lanes else step.at))
        else:
            self._end_holds(connection, {agency: datetime.fromisoformat(now) for agency, now in step.told})

    def _before(self, connection: Connection[Any], items: Sequence[Item]) -> dict[str, int]:
        firsts: dict[str, int] = {}
        for item in items:
            firsts.setdefault(item.record.agency, item.record.offset)
        connection.execute(OPEN_LANE, (list(firsts), list(firsts.values())))
        return firsts


class Replay:
    """Follows the live ledger's steps into the shadow.

    `live` is in autocommit mode. With `bounds` or another `directory` than the one in use, records are judged as they
    would be with these; `reread` also reads anew what could not be read then.
    """

    def __init__(
        self,
        live: Connection[Any],
        shadow: Connection[Any],
        lanes: Lanes,
        writers: WriterSchemas,
        directory: AgencyDirectory,
        *,
        bounds: Mapping[str, Any] | None = None,
        reread: bool = False,
    ) -> None:
        self._live = live
        self._shadow = shadow
        self._lanes = lanes
        self._writers = writers
        self._directory = directory
        self._given_bounds = bounds or {}
        self._reread = reread
        self._ledger = ShadowLedger(writers, directory)
        self.step = 0
        self.records = 0
        self._next: dict[str, int] = {}
        self.versions: set[str] = set()

    def catch_up(self, replayed: Replayed = lambda _: None) -> int:
        """Replays what was not replayed yet, a transaction for each group of steps; returns how many steps it was."""
        count = 0
        for group in grouped(steps_after(self._live, self.step)):
            self.take(group)
            self._shadow.commit()
            count += len(group)
            replayed(sum(step.records for step in group))
        return count

    def take(self, group: Sequence[Step]) -> None:
        """Takes a group of steps into the shadow's open transaction."""
        step = group[0]
        bounds = self._bounds_of(step)
        self._shadow.execute(MOVE_ON, (step.position,))
        if step.kind is StepKind.RECORDS:
            items = [self._items(one.runs) for one in group]
            self._ledger.take_steps(self._shadow, group, items, bounds)
        elif step.kind in (StepKind.REDRIVE, StepKind.DISCARD):
            self._decide_again(step, bounds)
        elif step.kind is StepKind.CLOSING:
            agency, portal, epoch, first, last = step.told
            close_gap(self._shadow, agency, portal, first, last, who=REBUILDER.who, why=REBUILDER.why, epoch=epoch)
        elif step.kind is StepKind.BLOCKING:
            agency, portal, status = step.told
            set_source(self._shadow, agency, portal, SourceStatus(status), who=REBUILDER.who, why=REBUILDER.why)
        elif step.kind is StepKind.RELEASE:
            release_waiting(self._shadow, step.told, self._writers, at=step.at, bounds=bounds, agencies=self._directory)
        else:
            self._ledger.take_timer(self._shadow, step, bounds)
        self.step = group[-1].id
        self.records += sum(one.records for one in group)
        self.versions |= {one.version for one in group}

    def _bounds_of(self, step: Step) -> Bounds:
        return replace(step.bounds, **self._given_bounds)

    def _decide_again(self, step: Step, bounds: Bounds) -> None:
        parking = Parking(self._shadow, self._writers, self._directory, bounds, clock=lambda: step.at)
        decide = parking.redrive if step.kind is StepKind.REDRIVE else parking.discard
        for _ in decide([(agency, offset) for agency, offset in step.told], REBUILDER):
            pass

    def _items(self, runs: Sequence[Run]) -> list[Item]:
        columns = [list(column) for column in zip(*runs, strict=True)]
        parked = {(row[0], row[1]): KeptAside(*row[2:]) for row in self._live.execute(PARKED, columns)}
        return [
            self._item(record, parked.get((record.agency, record.offset))) for run in runs for record in self._take(run)
        ]

    def _take(self, run: Run) -> Sequence[LaneRecord]:
        """The records of a run, which has to begin where the last one of its lane ended."""
        expected = self._next.get(run.agency)
        if expected is None:
            row = self._live.execute(FIRST_JUDGED, (run.agency,)).fetchone()
            expected = run.first if row is None or row[0] is None else min(run.first, row[0])
        if run.first != expected:
            raise StepsMissing(
                f"lane.{run.agency}: records from {expected} on were judged, its steps go on with {run.first}; "
                "without the steps in between nothing can be rebuilt"
            )
        self._next[run.agency] = run.after
        return self._lanes.take(*run)

    def _item(self, record: LaneRecord, kept: KeptAside | None) -> Item:
        if kept is not None and not record.headers:  # what the client cannot give out, the worker could
            record = record._replace(headers=tuple((name, b64decode(value)) for name, value in kept.headers))
        return Item(record, self._content(record, kept))

    def _content(self, record: LaneRecord, kept: KeptAside | None) -> Content:
        """What a record says; one that could not be read when it came says as little again, whoever could read it now.

        A record that killed workers is not tried again.
        """
        if kept is None:
            return content_of(record.value, self._writers)
        then = Unreadable(kept.reason, kept.detail)
        if then.rule == DEADLY:
            return then
        content = content_of(record.value, self._writers)
        return content if self._reread or isinstance(content, Unreadable) else then
