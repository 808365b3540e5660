"""What the watch has to know when it starts, from one snapshot of the ledger: it is a cache, and this fills it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from psycopg import Connection, IsolationLevel

from portalbus.schemas.case_rules import REFUSALS
from portalbus.schemas.zone import ZONE
from portalbus.streams.warning.days import ONE_DAY
from portalbus.streams.warning.history import HOURS
from portalbus.streams.warning.places import area_of
from portalbus.streams.warning.series import NONE_SAID, Series

HISTORY_DAYS = 70
"""What lies further back is forgotten in any case."""
FETCH = 2_000

POSITION = "select next - 1 from ledger.position"
DAYS = """
select (received_at at time zone 'Asia/Ho_Chi_Minh')::date,
    extract(hour from received_at at time zone 'Asia/Ho_Chi_Minh')::int,
    coalesce(field, ''), area, receiver, count(*)
from ledger.case where received_at >= %s and received_at < %s group by 1, 2, 3, 4, 5 order by 1"""
RECEIVED = """
select public_code, received_at, coalesce(field, ''), area, receiver, case when %s then subject || ' ' || content end
from ledger.case where received_at >= %s order by received_at"""
REFUSED = """
select case_id, coalesce(answered_by, owner), answered_at, reason_text from ledger.case
where outcome = any(%s) and reason_text is not null and answered_at >= %s and answered_at < %s
order by answered_at"""


class Received(NamedTuple):
    """A feedback, as far as the watch looks at it; `text` is compared with others and not kept."""

    code: str
    received_at: datetime
    series: Series
    text: str


class Refused(NamedTuple):
    """A refusal by an agency."""

    case_id: str
    agency: str
    answered_at: datetime
    text: str


class Day(NamedTuple):
    """Counts an hour of each field in each area, of one day."""

    day: date
    counts: dict[Series, list[int]]


@contextmanager
def snapshot(connection: Connection[Any]) -> Iterator[int]:
    """One look at the ledger as it is now; gives its last position. The connection is in autocommit mode."""
    before = connection.isolation_level
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    try:
        with connection.transaction():
            row = connection.execute(POSITION).fetchone()
            yield int(row[0]) if row else 0
    finally:
        connection.isolation_level = before


def read_days(connection: Connection[Any], before: date) -> Iterator[Day]:
    """The days of the last weeks before this one, in order, from the first on which anything came."""
    since = _begin(before - HISTORY_DAYS * ONE_DAY)
    found: dict[date, dict[Series, list[int]]] = {}
    for day, hour, field, area, receiver, count in connection.execute(DAYS, (since, _begin(before))):
        series = Series(field, area_of(area, receiver))
        found.setdefault(day, {}).setdefault(series, [0] * HOURS)[hour] += count
    day = min(found, default=before)
    while day < before:
        yield Day(day, found.get(day, {}))
        day += ONE_DAY


def read_received(connection: Connection[Any], since: date | datetime, *, texts: bool) -> Iterator[Received]:
    """What was received since a day or moment, in that order; without its text unless that is asked for."""
    begin = since if isinstance(since, datetime) else _begin(since)
    with connection.cursor("received") as cursor:
        cursor.itersize = FETCH
        for code, at, field, area, receiver, text in cursor.execute(RECEIVED, (texts, begin)):
            yield Received(code, at, Series(field, area_of(area, receiver)), text or NONE_SAID)


def read_refused(connection: Connection[Any], since: datetime, until: datetime) -> Iterator[Refused]:
    """What was refused from one moment to another, in that order."""
    with connection.cursor("refused") as cursor:
        cursor.itersize = FETCH
        for row in cursor.execute(REFUSED, ([outcome.value for outcome in REFUSALS], since, until)):
            yield Refused(*row)


def _begin(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=ZONE)


def days_before(moment: datetime, days: int) -> datetime:
    """So many days before a moment."""
    return moment - timedelta(days=days)
