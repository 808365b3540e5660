"""Learns cadences from the ledger: event types by what was judged since the last look, sources by when they spoke.

By position range and in one statement a slice: the intake knows nothing of it and pays nothing for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from psycopg import Connection

from portalbus.schemas.working_time import WorkingTime
from portalbus.streams.silence.cadence import Cadence
from portalbus.streams.silence.deadlines import Deadlines, Patience, event_type_deadlines
from portalbus.streams.silence.source_memory import SourceMemory

SLICE = 20_000
"""Positions learned in one transaction."""

HEARD = """
select e.agency, e.portal, e.event_type, array_agg(e.minute order by e.minute)
from (
    select e.agency, e.portal, e.event_type, max(e.received_at) as minute
    from ledger.judgement j join ledger.event e using (agency, lane_offset)
    where j.position > %s and j.position <= %s and j.status <> 'DUPLICATE'
      and e.portal is not null and e.event_type is not null and e.event_type <> 'Canary'
    group by e.agency, e.portal, e.event_type, date_trunc('minute', e.received_at)
) e group by e.agency, e.portal, e.event_type"""
"""When each event type was heard, to the minute: what comes closer together teaches nothing."""

KNOWN = """
select c.agency, c.portal, c.event_type, c.memory, c.last_heard_at
from ledger.cadence c
join unnest(%s::text[], %s::text[], %s::text[]) q(agency, portal, event_type) using (agency, portal, event_type)"""

CHANGED_SOURCES = """
select s.agency, s.portal, s.last_heard_at, (s.manifest ->> 'interval_s')::int4, c.memory, c.last_heard_at, c.promise_s
from ledger.source s left join ledger.cadence c
  on c.agency = s.agency and c.portal = s.portal and c.event_type = ''
where c.agency is null or c.last_heard_at <> s.last_heard_at
   or c.promise_s is distinct from (s.manifest ->> 'interval_s')::int4"""

STORE = """
insert into ledger.cadence (agency, portal, event_type, memory, last_heard_at, promise_s, quiet_by, late_by, silent_by,
    state, state_since)
select agency, portal, event_type, memory, last_heard_at, promise_s, quiet_by, late_by, silent_by, 'ok', last_heard_at
from json_to_recordset(%s) as row (agency text, portal text, event_type text, memory jsonb, last_heard_at timestamptz,
    promise_s int4, quiet_by timestamptz, late_by timestamptz, silent_by timestamptz)
on conflict (agency, portal, event_type) do update set memory = excluded.memory,
    last_heard_at = excluded.last_heard_at, promise_s = excluded.promise_s, quiet_by = excluded.quiet_by,
    late_by = excluded.late_by, silent_by = excluded.silent_by"""


class _Row(NamedTuple):
    agency: str
    portal: str
    event_type: str
    memory: dict[str, Any]
    last_heard_at: datetime
    promise_s: int | None
    deadlines: Deadlines


def learn_slice(
    connection: Connection[Any], end: int, working: WorkingTime, patience: Patience, *, slice_: int = SLICE
) -> bool:
    """Learns the next positions up to `end`, in the open transaction; True when all are learned.

    The caller holds the row of `ledger.watch`.
    """
    row = connection.execute("select position from ledger.watch").fetchone()
    position = int(row[0]) if row else 0
    if position > end:
        position = 0  # another ledger than it was; hearing again what was heard changes nothing
    upto = min(end, position + slice_)
    if upto > position:
        _learn_event_types(connection, position, upto, working, patience)
        connection.execute("update ledger.watch set position = %s", (upto,))
    return upto == end


def learn_sources(connection: Connection[Any], working: WorkingTime, patience: Patience) -> None:
    """Takes in which sources were heard since the last look, and what they promise."""
    changed: list[_Row] = []
    for agency, portal, heard_at, promise_s, stored, before, promise_before in connection.execute(CHANGED_SOURCES):
        memory = SourceMemory.from_json(before or heard_at, promise_before, stored or {})
        memory.hear(heard_at, promise_s, working)
        deadlines = memory.deadlines(working, patience)
        changed.append(_Row(agency, portal, "", memory.as_json(), memory.heard_at, promise_s, deadlines))
    _store(connection, changed)


def _learn_event_types(
    connection: Connection[Any], after: int, upto: int, working: WorkingTime, patience: Patience
) -> None:
    heard = {(agency, portal, name): times for agency, portal, name, times in connection.execute(HEARD, (after, upto))}
    known = connection.execute(KNOWN, [list(column) for column in zip(*heard, strict=True)] or [[], [], []])
    memories = {(row[0], row[1], row[2]): (row[3], row[4]) for row in known}
    rows: list[_Row] = []
    for place, times in heard.items():
        stored, last = memories.get(place, ({}, None))
        cadence = Cadence.from_json(stored)
        last = hear_all(cadence, last, times, working, patience)
        deadlines = event_type_deadlines(cadence, last, working, patience.event_types)
        rows.append(_Row(*place, cadence.as_json(), last, None, deadlines))
    _store(connection, rows)


def hear_all(
    cadence: Cadence, last: datetime | None, times: Iterable[datetime], working: WorkingTime, patience: Patience
) -> datetime:
    """Takes in when something was heard, in order of time; returns when it was heard last.

    What is not later than `last` was heard before. Raises ValueError for no times at all.
    """
    for heard_at in times:
        if last is None:
            last = heard_at
        elif heard_at > last:
            cadence.learn(max(working.between(last, heard_at), 0), patience.event_types)
            last = heard_at
    if last is None:
        raise ValueError("nothing was heard")
    return last


def _store(connection: Connection[Any], rows: list[_Row]) -> None:
    if not rows:
        return
    objects = [
        {
            "agency": row.agency,
            "portal": row.portal,
            "event_type": row.event_type,
            "memory": row.memory,
            "last_heard_at": _iso(row.last_heard_at),
            "promise_s": row.promise_s,
            "quiet_by": _iso(row.deadlines.quiet),
            "late_by": _iso(row.deadlines.late),
            "silent_by": _iso(row.deadlines.silent),
        }
        for row in rows
    ]
    connection.execute(STORE, (json.dumps(objects),))


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
