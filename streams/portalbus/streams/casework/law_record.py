"""The law in force, written down: from which position of the ledger on which calendar and regimes hold.

Without it a replay years later would reckon with the calendar of that day. A new file takes force at the place where
the casework is when it first sees it; the deadlines of cases that are open then are reckoned anew.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg import Connection

from portalbus.schemas.law.calendar import WorkingCalendar
from portalbus.schemas.law.regimes import Regimes
from portalbus.streams.casework.deriving import Law

NEWEST = "select id, calendar, regimes from casework.law order by id desc limit 1"
ENACT = """
insert into casework.law (after, calendar, regimes, days, terms, at) values (%s, %s, %s, %s, %s, %s) returning id"""
NEXT = "select id, after, days, terms from casework.law where id > %s order by id limit 1"
ONE = "select id, after, days, terms from casework.law where id = %s"


def enact(
    connection: Connection[Any], calendar: WorkingCalendar, regimes: Regimes, after: int, now: datetime
) -> int | None:
    """Writes down that this is the law for what comes behind a position; its number, or None where it is so already."""
    newest = connection.execute(NEWEST).fetchone()
    if newest is not None and (newest[1], newest[2]) == (calendar.version, regimes.version):
        return None
    said = (after, calendar.version, regimes.version, calendar.text, regimes.text, now)
    row = connection.execute(ENACT, said).fetchone()
    return int(row[0]) if row else None


def law_after(connection: Connection[Any], number: int) -> tuple[Law, int] | None:
    """The law that follows this one, and behind which position it is in force; None when none does."""
    return _law(connection.execute(NEXT, (number,)).fetchone())


def law_numbered(connection: Connection[Any], number: int) -> tuple[Law, int] | None:
    """The law with this number."""
    return _law(connection.execute(ONE, (number,)).fetchone())


def _law(row: tuple[Any, ...] | None) -> tuple[Law, int] | None:
    if row is None:
        return None
    number, after, days, terms = row
    return Law(int(number), WorkingCalendar.parse(days), Regimes.parse(terms)), int(after)
