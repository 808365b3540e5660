"""What has to be done about gaps when no record comes: end holds whose time is over, ask again for what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg import Connection

from portalbus.streams.judgement.gaps import Gap
from portalbus.streams.judgement.history import SourceState
from portalbus.streams.judgement.holding import request
from portalbus.streams.judgement.notice import Notice
from portalbus.streams.ledger.gap_rows import gap_of
from portalbus.streams.ledger.hearing import MARGIN
from portalbus.streams.ledger.notices import write_notices
from portalbus.streams.ledger.order import advance_position, take_position

ASKED_AT_ONCE = 100
# `Gap.over_at`, as SQL has it.
OVERDUE = """
select s.agency, min(coalesce((
    select min(case g.state when 'closed' then 'epoch' else g.hold_until end) from ledger.gap g
    where g.agency = s.agency and g.portal = s.portal and g.hold_until is not null), 'epoch'::timestamptz))
from ledger.source s where s.held > 0 group by s.agency"""
# By turns: a source that misses a great deal keeps no other from being asked.
UNANSWERED = """
select agency, portal, epoch, first, last, opened_at, state, hold_until, asked, ask_at from (
    select g.*, row_number() over (partition by g.agency, g.portal order by g.ask_at, g.epoch, g.first) turn
    from ledger.gap g join ledger.source s using (agency, portal)
    where g.ask_at <= %s and s.status = 'active') due
order by turn, ask_at limit %s"""
ANYTHING_TO_ASK = """
select from ledger.gap g join ledger.source s using (agency, portal)
where g.ask_at <= %s and s.status = 'active' limit 1"""
ASKED = """
update ledger.gap set asked = %s, ask_at = %s where agency = %s and portal = %s and epoch = %s and first = %s"""


def overdue_holds(connection: Connection[Any], heard_until: Mapping[str, datetime]) -> dict[str, datetime]:
    """The agencies whose lanes have a hold that is over, each with the lane time up to which everything was heard.

    `heard_until` says by agency when its lane had been heard to its end: a record that is still to come is later, less
    what the clocks differ. So a hold ends here only where the next record would find it over.
    """
    if not heard_until:
        return {}
    found = {}
    for agency, over_at in connection.execute(OVERDUE):
        heard = heard_until.get(agency)
        if heard is not None and over_at < heard - MARGIN:
            found[agency] = heard - MARGIN
    return found


def ask_again(connection: Connection[Any], now: datetime) -> int:
    """Asks again for what is missing and was not answered; returns for how many gaps."""
    if connection.execute(ANYTHING_TO_ASK, (now,)).fetchone() is None:
        return 0
    position = take_position(connection)
    notices: list[Notice] = []
    rows: list[tuple[Any, ...]] = []
    for agency, portal, *columns in connection.execute(UNANSWERED, (now, ASKED_AT_ONCE)):
        gap: Gap = gap_of(columns)
        notices.append(request(SourceState(agency, portal, now, now), gap, now))
        asked = gap.asked_again(now)
        rows.append((asked.asked, asked.ask_at, agency, portal, *gap.name))
    with connection.cursor() as cursor:
        cursor.executemany(ASKED, rows)
    advance_position(connection, write_notices(connection, position, notices, now))
    return len(notices)
