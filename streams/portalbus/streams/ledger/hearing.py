"""Up to when every lane was heard: nobody's time to wait is over before its cause could have come."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg import Connection

from portalbus.streams.judgement.gaps import LONG_AGO

MARGIN = timedelta(seconds=2)
"""How far the database's clock may be ahead of the broker's before anything could be over too early."""

PATIENCE = timedelta(days=1)
"""How long a cause may be on a lane that is not heard while others are, before it is late all the same."""

RECENTLY = timedelta(minutes=5)

HEARD = """
select lane.agency, hearing.heard_until, hearing.heard_since, held.since
from ledger.lane left join ledger.hearing using (agency)
left join lateral (
    select min(opened_at) since from ledger.gap
    where gap.agency = lane.agency and hold_until is not null
) held on true"""


class HeardLanes(NamedTuple):
    """By agency the lane time up to which everything of its lane was judged, and up to when the other lanes were."""

    lanes: Mapping[str, datetime]
    others: datetime

    def up_to(self, agency: str) -> datetime:
        """Up to when this agency's lane was heard."""
        return self.lanes.get(agency, self.others)


def heard_lanes(connection: Connection[Any], now: datetime) -> HeardLanes:
    """Up to when each lane was heard; what a gap holds is not judged yet. On a lane that does not exist nothing comes.

    One that stays unheard while another was heard without a break for as long as patience lasts is waited for no
    longer than that. After an outage of the centre every lane is waited for anew.
    """
    rows = connection.execute(HEARD).fetchall()
    steady = any(until and until - since >= PATIENCE and now - until < RECENTLY for _, until, since, _ in rows)
    least = now - PATIENCE if steady else LONG_AGO
    lanes = {agency: max(least, min(now, _judged(until, held))) for agency, until, _, held in rows}
    return HeardLanes(lanes, now)


def _judged(heard_until: datetime | None, held_since: datetime | None) -> datetime:
    if heard_until is None:
        return LONG_AGO
    heard = heard_until - MARGIN
    return heard if held_since is None else min(heard, held_since)
