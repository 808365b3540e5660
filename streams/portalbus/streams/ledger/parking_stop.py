"""Holding the ledger to the parking limit, and saying so when it stops a worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from portalbus.schemas.models import VerdictStatus
from portalbus.streams.judgement.docket import Docket
from portalbus.streams.ledger.alerts import Concern, close_alert, raise_alert
from portalbus.streams.ledger.clock import read_time
from portalbus.streams.ledger.decider import Decider
from portalbus.streams.ledger.parking_limit import Excess, ParkingLimit, ParkingStopped, Sample, excess

STOPPED = Concern("parking.stopped")
NEWEST = """
select lane.agency, newest.lane_offset, newest.position, newest.status = 'PARKED'
from ledger.lane cross join lateral (
    select lane_offset, position, status, judged_at from ledger.event where event.agency = lane.agency
    order by lane_offset desc limit %s) newest
where newest.judged_at > coalesce((select max(until) from ledger.parking_allowance), '-infinity')"""
ALLOWED = "select 1 from ledger.parking_allowance where until > %s limit 1"
OPEN_STOP = "select id, behind from ledger.parking_stop where ended_at is null"


def hold_to_limit(connection: Connection[Any], docket: Docket, limit: ParkingLimit, now: datetime) -> None:
    """Raises ParkingStopped when what this docket parks would be too much; call it before anything is written.

    Costs a look at the newest records of each lane, and that only when something is to be parked.
    """
    if not docket.parked or not limit.on or connection.execute(ALLOWED, (now,)).fetchone():
        return
    samples = [Sample(*row) for row in connection.execute(NEWEST, (limit.per_lane,))]
    samples += [
        Sample(entry.agency, entry.lane_offset, entry.position, entry.decision.status is VerdictStatus.PARKED)
        for entry in docket.entries
        if entry.fresh
    ]
    if (found := excess(samples, limit)) is not None:
        raise ParkingStopped(found)


def note_stop(
    connection: Connection[Any], found: Excess, limit: ParkingLimit, behind: Mapping[str, int], now: datetime
) -> None:
    """Writes down that a worker stops and raises the alert; `behind` are the lanes' next offsets after its batch."""
    connection.execute(
        "insert into ledger.parking_stop (stopped_at, parked, judged, lanes, behind) values (%s, %s, %s, %s, %s)"
        " on conflict ((true)) where ended_at is null do nothing",
        (now, found.parked, found.judged, found.lanes, Jsonb(dict(behind))),
    )
    params = {"parked": str(found.parked), "recent": str(found.judged), "limit": f"{limit.share:.0%}"}
    raise_alert(connection, STOPPED, now, params=params, now=now)


def end_stop(connection: Connection[Any], now: datetime) -> bool:
    """Ends a stop once the batch that caused it has been taken in after all; True when it has."""
    row = connection.execute(OPEN_STOP).fetchone()
    if row is None:
        return False
    stop, behind = row
    reached = dict(
        connection.execute(
            "select agency, next_offset from ledger.lane where agency = any(%s)", (list(behind),)
        ).fetchall()
    )
    if any(reached.get(agency, 0) < offset for agency, offset in behind.items()):
        return False
    connection.execute("update ledger.parking_stop set ended_at = %s where id = %s", (now, stop))
    close_alert(connection, STOPPED, now=now)
    return True


def allow(connection: Connection[Any], decider: Decider, lasts: timedelta, now: datetime | None = None) -> datetime:
    """Lets records be parked without a limit for so long; what is judged up to then never counts against it.

    From now on by the database's clock, unless another time is given. Returns until when.
    """
    now = now or read_time(connection)
    until = now + lasts
    connection.execute(
        "insert into ledger.parking_allowance (until, allowed_by, allowed_why, allowed_at) values (%s, %s, %s, %s)",
        (until, decider.who, decider.why, now),
    )
    return until


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop that has not ended: since when, what was over the limit, and until when an operator lets it go on."""

    stopped_at: datetime
    parked: int
    judged: int
    lanes: int
    allowed_until: datetime | None


def standing_stop(connection: Connection[Any], now: datetime) -> Stop | None:
    """The stop that stands at `now`; None when intake goes on."""
    row = connection.execute(
        "select stopped_at, parked, judged, lanes, (select max(until) from ledger.parking_allowance where until > %s)"
        " from ledger.parking_stop where ended_at is null",
        (now,),
    ).fetchone()
    return Stop(*row) if row else None
