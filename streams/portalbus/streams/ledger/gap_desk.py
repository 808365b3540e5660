"""What an operator sees of the gaps, and how one is given up: recorded with who, when and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from portalbus.streams.judgement.gaps import Gap, give_up
from portalbus.streams.judgement.history import SourceState
from portalbus.streams.judgement.holding import request
from portalbus.streams.ledger.gap_rows import PUT, gap_of, gap_row
from portalbus.streams.ledger.gap_tending import ASKED, ASKED_AT_ONCE
from portalbus.streams.ledger.notices import write_notices
from portalbus.streams.ledger.order import advance_position, take_turn
from portalbus.streams.ledger.steps import bounds_in_use, closing_told, write_step

LIST = """
select g.agency, g.portal, g.epoch, g.first, g.last, g.missing, g.state, g.opened_at, g.hold_until, g.asked, g.ask_at,
    s.held, c.closed_at, c.closed_by, c.why
from ledger.gap g join ledger.source s using (agency, portal)
left join lateral (
    select closed_at, closed_by, why from ledger.gap_closing c
    where c.agency = g.agency and c.portal = g.portal and c.epoch = g.epoch and c.first <= g.first and c.last >= g.last
    order by c.id desc limit 1
) c on g.state = 'closed'
where (%(agency)s::text is null or g.agency = %(agency)s) and (g.state <> 'closed' or %(closed)s)
order by g.agency, g.portal, g.epoch, g.first"""
WITHIN = """
select epoch, first, last, opened_at, state, hold_until, asked, ask_at from ledger.gap
where agency = %s and portal = %s and epoch = %s and first <= %s and last >= %s and state <> 'closed' order by first"""
NEWEST_EPOCH = """
select max(epoch) from ledger.gap
where agency = %s and portal = %s and first <= %s and last >= %s and state <> 'closed'"""
HOLDS = "select from ledger.source where agency = %s and portal = %s and held > 0"
OPEN = """
select g.epoch, g.first, g.last, g.opened_at, g.state, g.hold_until, g.asked, g.ask_at
from ledger.gap g join ledger.source s using (agency, portal)
where agency = %s and portal = %s and g.state = 'open' and s.status = 'active' order by g.first limit %s"""
RECORD = """
insert into ledger.gap_closing (agency, portal, epoch, first, last, missing, opened_at, closed_by, why)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s)"""


@dataclass(frozen=True, slots=True)
class ListedGap:
    """One gap as an operator sees it. `held` events of its source wait behind its gaps now; times as in `Gap`."""

    agency: str
    portal: str
    epoch: int
    first: int
    last: int
    missing: int
    state: str
    opened_at: datetime
    hold_until: datetime | None
    asked: int
    ask_at: datetime | None
    held: int
    closed_at: datetime | None
    closed_by: str | None
    why: str | None


def list_gaps(connection: Connection[Any], agency: str | None = None, *, closed: bool = False) -> list[ListedGap]:
    """The gaps of one agency or of all, by source; with `closed`, also those that were given up."""
    found = connection.execute(LIST, {"agency": agency, "closed": closed})
    return [ListedGap(*row) for row in found]


def close_gap(
    connection: Connection[Any],
    agency: str,
    portal: str,
    first: int,
    last: int,
    *,
    who: str,
    why: str,
    epoch: int | None = None,
) -> list[Gap]:
    """Gives up what is missing in a range, in the open transaction; returns the gaps (or parts of them) that it closed.

    Without `epoch` the newest one that misses something there is meant. Events held behind it go on within seconds. An
    event that comes after all is applied all the same. An empty list means that nothing is missing in the range.
    """
    position, now = take_turn(connection)  # the intake folds events into gaps under the same lock
    if epoch is None:
        row = connection.execute(NEWEST_EPOCH, (agency, portal, last, first)).fetchone()
        epoch = row[0] if row else None
    if epoch is None:
        return []
    holds = connection.execute(HOLDS, (agency, portal)).fetchone() is not None
    closed: list[Gap] = []
    for columns in connection.execute(WITHIN, (agency, portal, epoch, last, first)).fetchall():
        gap = gap_of(columns)
        for part in _parts(gap, first, last):
            if part.first >= first and part.last <= last:
                part = give_up(part, holds)
                closed.append(part)
                connection.execute(
                    RECORD, (agency, portal, epoch, part.first, part.last, part.missing, part.opened_at, who, why)
                )
            connection.execute(PUT, (agency, portal, *gap_row(part)))
    if closed:
        told = closing_told(agency, portal, epoch, first, last)
        write_step(connection, told, position, position, now, bounds_in_use(connection))
    return closed


def ask_now(connection: Connection[Any], agency: str, portal: str) -> int:
    """Asks a source at once for what it misses, in the open transaction; returns for how many gaps, 100 at most.

    What the source says it keeps no more is not asked for.
    """
    position, now = take_turn(connection)
    gaps = [gap_of(columns) for columns in connection.execute(OPEN, (agency, portal, ASKED_AT_ONCE)).fetchall()]
    source = SourceState(agency, portal, now, now)
    for asked in (gap.asked_again(now) for gap in gaps):
        connection.execute(ASKED, (asked.asked, asked.ask_at, agency, portal, *asked.name))
    notices = [request(source, gap, now) for gap in gaps]
    advance_position(connection, write_notices(connection, position, notices, now))
    return len(notices)


def _parts(gap: Gap, first: int, last: int) -> list[Gap]:
    """A gap cut where the range begins and ends."""
    low, high = max(gap.first, first), min(gap.last, last)
    parts = [gap.part(low, high)]
    if gap.first < low:
        parts.insert(0, gap.part(gap.first, low - 1))
    if high < gap.last:
        parts.append(gap.part(high + 1, gap.last))
    return parts
