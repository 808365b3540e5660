"""Who is silent at this moment: states that changed, and the alerts that follow. All of it in SQL, by deadlines."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg import Connection

from portalbus.schemas.working_time import WorkingTime
from portalbus.streams.ledger.alerts import Concern, Raise
from portalbus.streams.silence.cadence import Cadence
from portalbus.streams.silence.clock_alerts import judge_clocks
from portalbus.streams.silence.deadlines import Patience, event_type_deadlines

SOURCE_SILENT, EVENT_TYPE_SILENT = "source.silent", "event-type.silent"
CANARY_LATE, LANE_UNHEARD = "canary.late", "lane.unheard"
UNHEARD_AFTER = timedelta(minutes=10)
CANARY_SLACK_S = 60
LONGEST_ROUND_TRIP_MS = 60_000
UNRETURNED = 3
NAMED_LANES = 8

# Judged at the moment up to which the lane was heard. After a break in hearing, everybody has `grace` to be heard.
CHANGES = """
with judged as (
    select c.agency, c.portal, c.event_type, c.state as before,
        case when h.heard_until <= h.heard_since + %(grace)s then
                case when c.quiet_by is null or h.heard_until <= c.quiet_by then 'ok' else c.state end
            when h.heard_until > c.silent_by then 'silent'
            when h.heard_until > c.late_by then 'late'
            when h.heard_until > c.quiet_by then 'quiet'
            else 'ok' end as state
    from ledger.cadence c
    join ledger.hearing h using (agency)
    join ledger.source s on s.agency = c.agency and s.portal = c.portal and s.status = 'active'
    where {which}
)
update ledger.cadence c set state = j.state, state_since = coalesce(
    case j.state when 'silent' then c.silent_by when 'late' then c.late_by when 'quiet' then c.quiet_by end,
    c.last_heard_at)
from judged j
where c.agency = j.agency and c.portal = j.portal and c.event_type = j.event_type and c.state <> j.state
returning c.agency, c.portal, c.event_type, j.before, c.state, c.last_heard_at, c.silent_by"""
CHANGED_SOURCES = CHANGES.format(which="c.event_type = ''")
CHANGED_EVENT_TYPES = CHANGES.format(
    which="""c.event_type <> '' and not exists (select 1 from ledger.cadence whole where whole.agency = c.agency
        and whole.portal = c.portal and whole.event_type = '' and whole.state = 'silent')"""
)
"""A silent source is named itself; its event types are left as they were."""

GONE = """
update ledger.cadence set memory = jsonb_set(memory, '{present_since}', 'null')
where agency = %s and portal = %s and event_type = ''"""
"""Its presence ended without a good-bye."""

TYPES_OF = "select event_type, memory from ledger.cadence where agency = %s and portal = %s and event_type <> ''"
EXCUSE = """
update ledger.cadence set quiet_by = %s, late_by = %s, silent_by = %s
where agency = %s and portal = %s and event_type = %s and (silent_by is null or silent_by < %s)"""

OVER = """
select a.kind, a.agency, a.portal, a.event_type from ledger.alert a
join ledger.cadence c on c.agency = a.agency and c.portal = a.portal and c.event_type = a.event_type
where a.closed_at is null and a.kind = any(%(kinds)s) and case when c.event_type = '' and c.promise_s > 0
    then c.state = 'ok' and c.last_heard_at >= c.state_since + %(steady)s else c.state <> 'silent' end"""

CANARIES = """
with judged as (
    select k.agency, k.portal, k.heard_at, due.at as due,
        h.heard_until > greatest(due.at, h.heard_since + %(grace)s)
            or k.unreturned >= %(unreturned)s or k.round_trip_ms > %(longest)s as late
    from ledger.canary k
    join ledger.source s on s.agency = k.agency and s.portal = k.portal and s.status = 'active'
    join ledger.cadence c on c.agency = k.agency and c.portal = k.portal and c.event_type = ''
    join ledger.hearing h on h.agency = k.agency
    cross join lateral (select greatest(k.heard_at, (c.memory ->> 'present_since')::timestamptz) + %(grace)s
        + make_interval(secs => 2.0 * (s.manifest ->> 'canary_s')::int4 + %(slack)s) as at) due
    where (s.manifest ->> 'canary_s')::int4 > 0 and c.promise_s > 0 and c.state in ('ok', 'quiet')
)
select j.* from judged j left join ledger.alert a
  on a.kind = 'canary.late' and a.agency = j.agency and a.portal = j.portal and a.closed_at is null
where j.late is distinct from (a.id is not null)"""

UNHEARD = """
select h.agency, h.heard_until from ledger.hearing h
where h.heard_until < %s and exists (select 1 from ledger.source s where s.agency = h.agency)
order by h.heard_until"""


class Findings(NamedTuple):
    """The alerts to raise, and those that are over."""

    raised: list[Raise]
    over: list[Concern]


def judge_silence(connection: Connection[Any], now: datetime, working: WorkingTime, patience: Patience) -> Findings:
    """Brings the states up to date, in the open transaction, and tells which alerts follow."""
    grace = timedelta(seconds=patience.silent_after)
    raised = [
        *_silent_sources(connection, working, patience, grace),
        *_silent_event_types(connection, grace),
    ]
    kinds = [SOURCE_SILENT, EVENT_TYPE_SILENT]
    over = [Concern(*row) for row in connection.execute(OVER, {"kinds": kinds, "steady": grace})]
    canaries = _canaries(connection, grace)
    lanes = _unheard(connection, now)
    clocks = list(judge_clocks(connection, now))
    return Findings(
        [*raised, *canaries.raised, *lanes.raised, *(one for one in clocks if isinstance(one, Raise))],
        [*over, *canaries.over, *lanes.over, *(one for one in clocks if isinstance(one, Concern))],
    )


def _silent_sources(
    connection: Connection[Any], working: WorkingTime, patience: Patience, grace: timedelta
) -> Iterator[Raise]:
    for agency, portal, _, before, state, heard_at, by in connection.execute(CHANGED_SOURCES, {"grace": grace}):
        if state == "silent":
            connection.execute(GONE, (agency, portal))
            yield Raise(Concern(SOURCE_SILENT, agency, portal), heard_at, by)
        elif before == "silent":
            _excuse_event_types(connection, agency, portal, heard_at, working, patience)


def _excuse_event_types(
    connection: Connection[Any], agency: str, portal: str, back_at: datetime, working: WorkingTime, patience: Patience
) -> None:
    """A source is back: its event types are counted from now, since nothing could come while it was away."""
    for event_type, memory in connection.execute(TYPES_OF, (agency, portal)).fetchall():
        by = event_type_deadlines(Cadence.from_json(memory), back_at, working, patience.event_types)
        if by.silent is not None:
            connection.execute(EXCUSE, (*by, agency, portal, event_type, by.silent))


def _silent_event_types(connection: Connection[Any], grace: timedelta) -> Iterator[Raise]:
    for agency, portal, event_type, _, state, heard_at, by in connection.execute(CHANGED_EVENT_TYPES, {"grace": grace}):
        if state == "silent":
            yield Raise(Concern(EVENT_TYPE_SILENT, agency, portal, event_type), heard_at, by)


def _canaries(connection: Connection[Any], grace: timedelta) -> Findings:
    found = Findings([], [])
    asked = {
        "grace": grace,
        "slack": CANARY_SLACK_S,
        "unreturned": UNRETURNED,
        "longest": LONGEST_ROUND_TRIP_MS,
    }
    for agency, portal, heard_at, due, late in connection.execute(CANARIES, asked):
        concern = Concern(CANARY_LATE, agency, portal)
        if late:
            found.raised.append(Raise(concern, heard_at, due))
        else:
            found.over.append(concern)
    return found


def _unheard(connection: Connection[Any], now: datetime) -> Findings:
    """One alert for all lanes that the centre cannot read: what is broken is the centre, and it is broken once."""
    rows = connection.execute(UNHEARD, (now - UNHEARD_AFTER,)).fetchall()
    concern = Concern(LANE_UNHEARD)
    if not rows:
        return Findings([], [concern])
    names = ", ".join(agency for agency, _ in rows[:NAMED_LANES])
    lanes = names if len(rows) <= NAMED_LANES else f"{names}, … ({len(rows)})"
    return Findings([Raise(concern, rows[0][1], None, {"lanes": lanes})], [])
