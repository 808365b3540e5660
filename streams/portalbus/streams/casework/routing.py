"""What the rules of competence say of a case as it was received, beside the body that it names. Pure."""

from __future__ import annotations

from typing import NamedTuple

from portalbus.schemas.directory import first_level
from portalbus.schemas.law.reckoning import day_of
from portalbus.schemas.law.routing import Matter, route
from portalbus.streams.casework.deriving import Law
from portalbus.streams.casework.life import Life


class RoutingRow(NamedTuple):
    """One row of casework.routing."""

    case_id: str
    named: str
    suggested: str | None
    rules: list[str]
    differs: bool
    law: int


def routed(life: Life, law: Law) -> RoutingRow:
    """Whose the case is by the rules in force on the day on which it was received.

    A unit is its first level here: which unit handles a case its body knows, and the rules do not.
    """
    first = life.handlings[0]
    day = day_of(first.received)
    found = route(Matter(life.field or "", life.area, day, named=first.agency), law.competence, law.directory)
    named = first_level(law.acting(first.agency, day))
    differs = found.suggested is not None and first_level(found.suggested) != named
    return RoutingRow(
        life.case_id, first.agency, found.suggested, [rule.id for rule in found.rules], differs, law.number
    )
