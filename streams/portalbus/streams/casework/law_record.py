"""The law in force, written down: from which position on which calendar, regimes, directory and rules hold.

Without it a replay years later would reckon with the calendar of that day. A new file takes force at the place where
the casework is when it first sees it; the deadlines of cases that are open then are reckoned anew.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg import Connection

from portalbus.schemas.directory import AgencyDirectory
from portalbus.schemas.law.calendar import WorkingCalendar
from portalbus.schemas.law.competence import Competence
from portalbus.schemas.law.regimes import Regimes
from portalbus.streams.casework.deriving import Law

NEWEST = "select calendar, regimes, directory, competence from casework.law order by id desc limit 1"
ENACT = """
insert into casework.law (after, calendar, regimes, directory, competence, days, terms, bodies, rules, at)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) returning id"""
COLUMNS = "id, after, days, terms, bodies, rules"
NEXT = f"select {COLUMNS} from casework.law where id > %s order by id limit 1"
ONE = f"select {COLUMNS} from casework.law where id = %s"


def enact(connection: Connection[Any], law: Law, after: int, now: datetime) -> int | None:
    """Writes down that this is the law for what comes behind a position; its number, or None where it is so already."""
    parts = (law.calendar, law.regimes, law.directory, law.competence)
    versions = tuple(part.version for part in parts)
    if connection.execute(NEWEST).fetchone() == versions:
        return None
    row = connection.execute(ENACT, (after, *versions, *(part.text for part in parts), now)).fetchone()
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
    number, after, days, terms, bodies, rules = row
    law = Law(
        int(number),
        WorkingCalendar.parse(days),
        Regimes.parse(terms),
        AgencyDirectory.parse(bodies) if bodies else AgencyDirectory.read(),
        Competence.parse(rules) if rules else Competence.read(),
    )
    return law, int(after)
