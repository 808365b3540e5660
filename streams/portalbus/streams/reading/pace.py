"""How many events came in the last day and how long they took, in slices of half an hour. Bounded at any size."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row

SLICE = timedelta(minutes=30)
SPAN = timedelta(hours=24)
MOST_EVENTS, MOST_JUDGEMENTS = 20_000, 200_000
MOST_TIMED = 10_000
"""About so many of all events, evenly taken, tell how long they took."""
OWN = """
select date_bin(%(slice)s, received_at, 'epoch') as at, count(*) as events,
    count(*) filter (where status = 'REJECTED') as refused,
    percentile_disc(0.5) within group (order by took) as median_s,
    percentile_disc(0.95) within group (order by took) as p95_s
from (select received_at, status, case when status = 'ACCEPTED' then
          greatest(extract(epoch from judged_at - coalesce(published_at, received_at)), 0)::float8 end as took
      from ledger.event where agency = %(agency)s order by lane_offset desc limit %(most)s) newest
where received_at >= %(since)s group by 1 order by 1"""
ALL = """
with newest as materialized (
    select position, agency, lane_offset, judged_at, status from ledger.judgement
    where position > (select next from ledger.position) - %(most)s and judged_at >= %(since)s and final
), timed as (
    select n.position, greatest(extract(epoch from n.judged_at - e.published_at), 0)::float8 as took
    from newest n cross join lateral (
        select coalesce(published_at, received_at) as published_at from ledger.event
        where (agency, lane_offset) = (n.agency, n.lane_offset) offset 0
    ) e
    where n.status = 'ACCEPTED' and n.position %% (select greatest(1, count(*) / %(timed)s) from newest) = 0
)
select date_bin(%(slice)s, judged_at, 'epoch') as at, count(*) as events,
    count(*) filter (where status = 'REJECTED') as refused,
    percentile_disc(0.5) within group (order by took) as median_s,
    percentile_disc(0.95) within group (order by took) as p95_s
from newest left join timed using (position) group by 1 order by 1"""
RECENT = """
select percentile_disc(0.5) within group (order by took), percentile_disc(0.95) within group (order by took)
from (select greatest(extract(epoch from j.judged_at - coalesce(e.published_at, e.received_at)), 0)::float8 as took
      from ledger.judgement j join ledger.event e using (agency, lane_offset)
      where j.status = 'ACCEPTED' order by j.position desc limit 1000) newest"""


@dataclass(frozen=True, slots=True)
class Pace:
    """Half an hour: events that came, those of them that were refused, seconds from publish() to being shown."""

    at: datetime
    events: int
    refused: int
    median_s: float | None
    p95_s: float | None


def pace(connection: Connection[Any], agency: str | None, now: datetime) -> list[Pace]:
    """The last 24 hours of an agency or of all, every half hour in turn, also those in which nothing came.

    At most the newest 20,000 events of an agency are looked at, of all the newest 200,000; how long those took is asked
    of some 10,000, taken evenly from them.
    """
    first = _floor(now - SPAN) + SLICE
    most = MOST_EVENTS if agency else MOST_JUDGEMENTS
    values = {"agency": agency, "slice": SLICE, "since": first, "most": most, "timed": MOST_TIMED}
    with connection.cursor(row_factory=class_row(Pace)) as cursor:
        known = {row.at: row for row in cursor.execute(OWN if agency else ALL, values)}
    count = int(SPAN / SLICE)
    return [known.get(at) or Pace(at, 0, 0, None, None) for at in (first + SLICE * number for number in range(count))]


def recent_latency(connection: Connection[Any]) -> tuple[float | None, float | None]:
    """Median and 95th percentile of the newest thousand accepted events, in seconds from publish() to being shown."""
    row = connection.execute(RECENT).fetchone()
    return (row[0], row[1]) if row else (None, None)


def _floor(moment: datetime) -> datetime:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + (moment - epoch) // SLICE * SLICE
