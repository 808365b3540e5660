"""Folding urgent events ahead of judgement, and taking back what is refused then."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from portalbus.schemas.law.reckoning import day_of
from portalbus.schemas.models import Event, FeedbackReceived
from portalbus.streams.casework.caseworker import Caseworker
from portalbus.streams.casework.deriving import Law
from portalbus.streams.casework.life import Life
from portalbus.streams.casework.reading import CaseEvent
from portalbus.streams.casework.turns import Turns
from portalbus.streams.ledger.hindered import once_unhindered

APPLICATION = "scout"

STARTS = """
select wanted.agency, greatest(coalesce(s.next_offset, 0), coalesce(l.next_offset, 0))
from unnest(%s::text[]) as wanted(agency)
left join casework.scouted s using (agency) left join ledger.lane l using (agency)"""
SAVE = """
insert into casework.scouted (agency, next_offset) select * from unnest(%s::text[], %s::int8[])
on conflict (agency) do update set next_offset = greatest(scouted.next_offset, excluded.next_offset)"""
JUDGED = """
select agency, lane_offset from ledger.event
where (agency, lane_offset) in (select * from unnest(%s::text[], %s::int8[]))"""
NOTE = """
insert into casework.ahead (agency, lane_offset, case_id) select * from unnest(%s::text[], %s::int8[], %s::text[])
on conflict do nothing"""


@dataclass(frozen=True, slots=True)
class Sighting:
    """An urgent event on its lane; `heard` is lane time."""

    agency: str
    lane_offset: int
    heard: datetime
    event: Event


class Ahead:
    """What the scout does to casework, over a connection of its own. Raises psycopg.Error.

    A database that cannot do it now is waited for, until `stop`.
    """

    def __init__(
        self,
        connection: Connection[Any],
        caseworker: Caseworker,
        turns: Turns | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self._connection = connection
        self._caseworker = caseworker
        self._turns = turns or Turns()
        self._stop = stop or threading.Event()

    def starts(self, agencies: Sequence[str]) -> dict[str, int]:
        """Where to read each lane on: behind what was looked through and what is judged. Empty when told to stop."""
        return once_unhindered(lambda: self._starts(agencies), APPLICATION, self._stop) or {}

    def fold(self, sightings: Sequence[Sighting], offsets: Mapping[str, int]) -> int:
        """Folds what is not judged yet, and keeps how far lanes were looked through; returns how many were folded."""
        folded = once_unhindered(lambda: self._fold(sightings, offsets), APPLICATION, self._stop)
        if folded:
            once_unhindered(self._caseworker.tell_urgent, APPLICATION, self._stop)
        return folded or 0

    def _starts(self, agencies: Sequence[str]) -> dict[str, int]:
        return dict(self._connection.execute(STARTS, (list(agencies),)).fetchall())

    def _fold(self, sightings: Sequence[Sighting], offsets: Mapping[str, int]) -> int:
        with self._turns.urgent() if sightings else nullcontext(), self._connection.transaction():
            folded = self._caseworker.fold_ahead(self._of_tomorrow(sightings), _may_be_folded) if sightings else []
            known = set(folded)
            noted = [one for one in sightings if one.event.envelope.id in known]
            if noted:
                places = [(one.agency, one.lane_offset, one.event.key) for one in noted]
                self._connection.execute(NOTE, [list(column) for column in zip(*places, strict=True)])
            if offsets:
                self._connection.execute(SAVE, (list(offsets), list(offsets.values())))
        return len(folded)

    def _of_tomorrow(self, sightings: Sequence[Sighting]) -> list[CaseEvent]:
        places = [[one.agency for one in sightings], [one.lane_offset for one in sightings]]
        judged = {(agency, offset) for agency, offset in self._connection.execute(JUDGED, places)}
        return [
            CaseEvent(0, one.event.key, one.event.envelope.id, one.heard, one.event)
            for one in sightings
            if (one.agency, one.lane_offset) not in judged
        ]


def _may_be_folded(life: Life | None, told: CaseEvent, law: Law) -> bool:
    """A receipt of a new case, or a step by an authority that the case is or may come to."""
    if isinstance(told.event.payload, FeedbackReceived):
        return life is None
    if life is None:
        return False
    return told.event.envelope.agency in (life.now.agency, *law.ladder(life.now.agency, day_of(told.heard)))
