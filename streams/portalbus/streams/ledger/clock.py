"""The time of the ledger: the database's clock, so that no worker's own decides anything; how clocks compare."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection

from portalbus.streams.ledger.hearing import MARGIN

NEWEST_JUDGED = """
select judged_at - received_at from ledger.event
join (select agency, lane_offset from ledger.judgement order by position desc limit 200) newest
    using (agency, lane_offset)
where judged_at > clock_timestamp() - interval '1 hour'"""
"""How long after the broker took them the newest records were judged, by two clocks."""


def read_time(connection: Connection[Any]) -> datetime:
    """The database's time at this moment, not that of the transaction's beginning."""
    row = connection.execute("select clock_timestamp()").fetchone()
    assert row is not None  # noqa: S101 - a select without a table has one row
    now: datetime = row[0]
    return now


def read_centre_clocks(
    asked: datetime, database: datetime, answered: datetime, delays: Sequence[timedelta]
) -> list[str]:
    """Which clocks disagree by more than a margin, in words.

    The database said its time between two moments of this machine. A record is judged after the broker took it, and
    the soonest of many at once: what that delay is below zero, the broker is ahead; what it is above, the database is.
    """
    found = []
    if asked - MARGIN > database or database > answered + MARGIN:
        lead = asked - database if asked > database else answered - database
        found.append(f"the clock of this machine is {_in_seconds(lead)} the database's")
    if delays and abs(soonest := min(delays)) > MARGIN:
        found.append(f"the database's clock is {_in_seconds(soonest)} the broker's, or nothing was judged sooner")
    return found


def _in_seconds(lead: timedelta) -> str:
    return f"{abs(lead).total_seconds():.1f} s {'ahead of' if lead > timedelta() else 'behind'}"


class LedgerClock:
    """Tells the database's time between two looks at it; safe to use from any thread.

    Each transaction of the ledger looks. In between the time that has passed is added to what the database last said.
    It may be behind by what an answer takes on its way, and is never ahead.
    """

    def __init__(self, monotonic: Callable[[], float] = lambda: time.monotonic()) -> None:
        self._monotonic = monotonic
        self._seen: tuple[datetime, float] | None = None

    def seen(self, now: datetime) -> None:
        """Notes what the database has just said."""
        self._seen = now, self._monotonic()

    def now(self) -> datetime:
        """The time. Raises LookupError when the database was never asked."""
        if self._seen is None:
            raise LookupError("the database was not asked for its time yet")
        said, at = self._seen
        return said + timedelta(seconds=self._monotonic() - at)
