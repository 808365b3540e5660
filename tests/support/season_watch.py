"""A season of many sources played through a real ledger and its real watch, with the clock of the season."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg.types.json import Jsonb

from ledger_facts import one, rows
from portalbus.schemas.topics import lane_of
from portalbus.schemas.working_time import CLOSES, OPENS, WorkingTime
from portalbus.schemas.zone import ZONE
from portalbus.streams.silence.deadlines import Patience
from portalbus.streams.silence.watcher import Watcher

PORTAL = "www"
HEARTBEAT_S = 60
EVENTS: LiteralString = (
    "copy ledger.event (agency, lane_offset, claims_id, event_type, portal, epoch, sequence, received_at, judged_at,"
    " position, status, final, rule) from stdin"
)
JUDGEMENTS: LiteralString = (
    "copy ledger.judgement (position, agency, lane_offset, status, final, rule, judged_at) from stdin"
)
BEAT = """
insert into ledger.source (agency, portal, first_heard_at, last_heard_at, manifest)
select agency, %s, %s, %s, %s from unnest(%s::text[]) as said(agency)
on conflict (agency, portal) do update set last_heard_at = excluded.last_heard_at"""
BOUNDS = "select agency, event_type, silent_by from ledger.cadence where event_type <> '' and silent_by is not null"
ALERTS = "select agency, event_type, raised_at from ledger.alert where kind = 'event-type.silent' order by raised_at"


class Kind(NamedTuple):
    """One event type of one source."""

    agency: str
    event_type: str


class SeasonWatch:
    """Plays into an empty ledger what was said when, kind by kind; every source's heartbeat comes all the time.

    It looks each `every` of a working day, when silences grow, and just before an event that comes after the moment
    from which on the ledger would call its kind silent: the product looks every ten seconds.
    """

    def __init__(self, database_url: str, working: WorkingTime, said: Mapping[Kind, list[datetime]]) -> None:
        self.look = psycopg.connect(database_url, autocommit=True)
        self.look.execute("truncate ledger.cadence, ledger.hearing, ledger.alert, ledger.canary, ledger.notice")
        self.look.execute("update ledger.watch set position = 0")
        self._working = working
        self._agencies = sorted({kind.agency for kind in said})
        self._said = {kind: list(times) for kind, times in said.items()}
        self._now = datetime.min.replace(tzinfo=UTC)
        self._offsets = dict.fromkeys(self._agencies, 0)
        self.events = self.looks = 0
        patience = Patience(break_after=timedelta(days=30).total_seconds())  # nobody looks at night
        self._watcher = Watcher(database_url, self._heard_until, working, patience=patience, clock=lambda: self._now)

    def close(self) -> None:
        """Lets go of the ledger."""
        self._watcher.disconnect()
        self.look.close()

    def switch_off(self, kind: Kind) -> None:
        """Nothing more is said of this kind."""
        self._said[kind].clear()

    def play(self, first: date, days: int, every: timedelta) -> None:
        """So many days; what was said before the first one is said at once."""
        for number in range(days):
            day = first + timedelta(days=number)
            if self._working.is_worked(day):
                for moment in _moments(day, every):
                    self._until(moment)

    def bounds(self) -> dict[Kind, datetime]:
        """From when on each kind would be silent, as the ledger says now."""
        return {Kind(agency, name): by for agency, name, by in rows(self.look, BOUNDS)}

    def alerts(self) -> list[tuple[Kind, datetime]]:
        """Which kinds were called silent, and when."""
        return [(Kind(agency, name), at) for agency, name, at in rows(self.look, ALERTS)]

    def other_alerts(self) -> int:
        """How many alerts there were about anything else."""
        return int(one(self.look, "select count(*) from ledger.alert where kind <> 'event-type.silent'"))

    def _heard_until(self) -> dict[str, datetime]:
        return {lane_of(agency): self._now for agency in self._agencies}

    def _until(self, moment: datetime) -> None:
        """Everything up to a moment, with a look at it."""
        bounds = self.bounds()
        coming: list[tuple[datetime, Kind | None]] = []
        for kind, times in self._said.items():
            while times and times[0] <= moment:
                at = times.pop(0)
                if kind in bounds and at > bounds.pop(kind):
                    coming.append((at - timedelta(milliseconds=1), None))
                coming.append((at, kind))
        rest: list[tuple[datetime, Kind]] = []
        for at, said in sorted(coming, key=lambda one: one[0]):
            if said is not None:
                rest.append((at, said))
                continue
            self._tell(rest)
            self._look(at)
            rest = []
        self._tell(rest)
        self._look(moment)

    def _tell(self, said: Sequence[tuple[datetime, Kind]]) -> None:
        """What the worker writes of events, as far as the watch reads it."""
        with self.look.transaction(), self.look.cursor() as cursor:
            first = int(one(self.look, "select next from ledger.position"))  # alerts take positions, too
            placed = list(self._placed(said, first))
            with cursor.copy(EVENTS) as copy:
                for at, kind, offset, position in placed:
                    place = (kind.agency, offset, False, kind.event_type, PORTAL, 1, offset + 1)
                    copy.write_row((*place, at, at, position, "ACCEPTED", True, "event.accepted"))
            with cursor.copy(JUDGEMENTS) as copy:
                for at, kind, offset, position in placed:
                    copy.write_row((position, kind.agency, offset, "ACCEPTED", True, "event.accepted", at))
            cursor.execute("update ledger.position set next = %s", (first + len(placed),))
        self.events += len(placed)

    def _placed(self, said: Sequence[tuple[datetime, Kind]], first: int) -> Iterator[tuple[datetime, Kind, int, int]]:
        for position, (at, kind) in enumerate(said, first):
            yield at, kind, self._offsets[kind.agency], position
            self._offsets[kind.agency] += 1

    def _look(self, moment: datetime) -> None:
        self._now = moment
        manifest: Any = Jsonb({"interval_s": HEARTBEAT_S, "canary_s": 0})
        self.look.execute(BEAT, (PORTAL, moment, moment, manifest, self._agencies))
        self._watcher.look_now()
        self.looks += 1


def _moments(day: date, every: timedelta) -> Iterator[datetime]:
    """From the opening of the offices to a moment after their closing."""
    moment = datetime.combine(day, OPENS, ZONE)
    while moment <= datetime.combine(day, CLOSES, ZONE) + every:
        yield moment.astimezone(UTC)
        moment += every
