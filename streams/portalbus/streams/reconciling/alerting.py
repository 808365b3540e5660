"""Says so when differences last: most are healed within seconds, and nobody needs to hear of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, LiteralString

from psycopg import Connection

from portalbus.streams.ledger.alerts import Concern, Raise, tell_alerts

KIND = "store.differs"
LASTING = timedelta(minutes=10)
"""How long an agency's differences may be open: its portals may be away for a moment."""

OPEN: LiteralString = """
select agency, min(since), count(*)
from (select agency, found_at as since from ledger.repair where healed_at is null
      union all select agency, since from ledger.inquiry) differs
group by agency"""
ALERTED: LiteralString = "select agency from ledger.alert where kind = %s and closed_at is null"


def tell_lasting(connection: Connection[Any], now: datetime) -> None:
    """Raises alerts for agencies whose differences last, and closes those that are over; last in a transaction."""
    open_since = {agency: (since, count) for agency, since, count in connection.execute(OPEN)}
    alerted = {agency for (agency,) in connection.execute(ALERTED, (KIND,))}
    raised = [
        Raise(Concern(KIND, agency), since, params={"differences": str(count)})
        for agency, (since, count) in open_since.items()
        if agency not in alerted and since + LASTING <= now
    ]
    tell_alerts(connection, raised, [Concern(KIND, agency) for agency in alerted - open_since.keys()], now)
