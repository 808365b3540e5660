"""The timers: open deadlines that are due. One indexed look a tick; each agency's are looked at for themselves."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection

from portalbus.schemas.directory import first_level
from portalbus.streams.casework.deriving import Moments
from portalbus.streams.settings import UNTIL_PUBLISHED

OF_ONE_AGENCY = 200
"""Cases of one agency whose timers fire in one tick: who has more of them waits for itself alone."""

ANY_DUE = "select exists (select 1 from casework.deadline where state = 'OPEN' and due_at <= %s)"
DUE = """
with recursive owing (agency) as (
    select min(agency) from casework.deadline where state = 'OPEN'
    union all
    select (select min(d.agency) from casework.deadline d where d.state = 'OPEN' and d.agency > owing.agency)
    from owing where owing.agency is not null
)
select distinct due.case_id
from owing
left join ledger.hearing own on own.agency = owing.agency
left join ledger.hearing above on above.agency = split_part(owing.agency, '.', 1)
cross join lateral (
    select d.case_id from casework.deadline d
    left join ledger.case c on c.case_id = d.case_id and c.position > %(position)s
    left join casework.case w on w.case_id = d.case_id
    where d.state = 'OPEN' and d.agency = owing.agency and d.due_at <= %(wall)s
      and (d.duty = 'ACKNOWLEDGE' or d.due_at <= greatest(coalesce(own.heard_until, above.heard_until), %(patient)s)
           and (c.case_id is null or c.position <= w.position))
    order by d.due_at limit %(limit)s
) due"""
"""An answer may lie on a lane that is not read yet, or in the ledger and not folded yet: so long nobody is late, but no
longer than patience lasts. An acknowledgement waits for nothing."""

HEARD = "select agency, heard_until from ledger.hearing"


def due_cases(connection: Connection[Any], position: int, wall: datetime, patience: timedelta) -> list[str]:
    """The cases that have a deadline to be judged at this moment; `position` is up to where the ledger is folded."""
    row = connection.execute(ANY_DUE, (wall,)).fetchone()
    if row is None or not row[0]:
        return []
    given = {"wall": wall, "patient": wall - patience, "position": position, "limit": OF_ONE_AGENCY}
    return [case_id for (case_id,) in connection.execute(DUE, given)]


def moments(connection: Connection[Any], wall: datetime, patience: timedelta) -> Moments:
    """The time now, and up to when each agency was heard; one that was not is waited for as long as patience lasts."""
    known: dict[str, datetime] = dict(connection.execute(HEARD).fetchall())

    def heard(agency: str) -> datetime:
        found = known.get(agency) or known.get(first_level(agency))
        return min(wall, max(found, wall - patience)) if found else wall - patience

    row = connection.execute("select ledger.review_time()").fetchone()
    return Moments(wall, heard, row[0] if row and row[0] < UNTIL_PUBLISHED else None)
