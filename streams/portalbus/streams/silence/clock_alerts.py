"""Sources whose clock is off: said once, and once more when it is right. Nothing is decided by a source's clock.

Heartbeats that an outage held up look like those of a clock that is behind. So a clock is behind only when all that are
remembered say so, the lane is heard to its end, and the youngest is later than it could be by waiting for the next one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from psycopg import Connection

from portalbus.streams.judgement.clocks import CLOCK_BOUND, REMEMBERED, ClockState, read_clock
from portalbus.streams.ledger.alerts import Concern, Raise

CLOCK_OFF = "source.clock-off"
RIGHT_WITHIN = CLOCK_BOUND / 2
"""Narrower than what it is raised for, or a clock that drifts about the bound would be told again and again."""

SIGNS = {ClockState.AHEAD: "+", ClockState.BEHIND: "-"}

CLOCKS = f"""
select s.agency, s.portal, s.clock_leads, s.clock_offset_ms, coalesce(h.heard_until >= s.last_heard_at, false),
    make_interval(secs => coalesce((s.manifest ->> 'interval_s')::int4, 0)), a.params ->> 'lead'
from ledger.source s
left join ledger.hearing h on h.agency = s.agency
left join ledger.alert a
  on a.kind = '{CLOCK_OFF}' and a.agency = s.agency and a.portal = s.portal and a.closed_at is null
where s.status = 'active'"""


def judge_clocks(connection: Connection[Any], now: datetime) -> Iterator[Raise | Concern]:
    """What to raise, and what is over. A clock that was ahead and is behind now is told anew at the next look."""
    for agency, portal, leads, newest_event, heard, interval, told in connection.execute(CLOCKS).fetchall():
        concern = Concern(CLOCK_OFF, agency, portal)
        if told is None:
            clock = read_clock(leads, newest_event)
            if clock.state is ClockState.BEHIND:
                certain = heard and len(leads) == REMEMBERED
                clock = read_clock(leads if certain else (), newest_event, CLOCK_BOUND + interval)
            if clock.state in SIGNS and clock.ahead_ms is not None:
                yield Raise(concern, now, None, {"lead": lead_text(clock.ahead_ms)})
        elif not told.startswith(SIGNS.get(read_clock(leads, newest_event, RIGHT_WITHIN).state, " ")):
            yield concern


def lead_text(ahead_ms: int) -> str:
    """By how much a clock is ahead (+) or behind (-), in hours and minutes, alike in every language."""
    minutes = round(abs(ahead_ms) / 60_000)
    return f"{SIGNS[ClockState.AHEAD if ahead_ms > 0 else ClockState.BEHIND]}{minutes // 60}:{minutes % 60:02}"
