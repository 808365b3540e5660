"""What people are told of escalations: alerts that follow from the rows, so that none is raised twice or forgotten."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

from psycopg import Connection

from portalbus.schemas.law.levels import DIGEST
from portalbus.schemas.notices import Alert
from portalbus.streams.casework.deriving import EscalationKind
from portalbus.streams.ledger.alerts import Concern, Raise, tell_alerts

ALERTS = {
    EscalationKind.OVERDUE: "case.overdue",
    EscalationKind.PROGRESS_DUE: "case.progress-due",
    EscalationKind.ESCALATED: "case.escalated",
}
IN_DIGEST = "case.in-digest"
"""An urgent case that nobody acknowledged, up to the Government Portal: about no agency."""
RAISED_ANEW = (ALERTS[EscalationKind.ESCALATED], IN_DIGEST)

OPEN = """
select kind, told_to, count(distinct case_id), min(at), max(at), (array_agg(case_id order by at, case_id))[1]
from casework.escalation
where closed_at is null and kind = any(%(kinds)s) and (%(whom)s::text[] is null or told_to = any(%(whom)s))
group by kind, told_to"""
TOLD = """
select kind, agency, expected_by from ledger.alert
where closed_at is null and kind = any(%(alerts)s) and (%(whom)s::text[] is null or agency = any(%(whom)s))"""


class Standing(NamedTuple):
    """What is open of one kind for one authority; `oldest` and `newest` are when it was late."""

    cases: int
    oldest: datetime
    newest: datetime
    first_case: str


def bring_up_to_date(
    connection: Connection[Any], kinds: Collection[EscalationKind], whom: Collection[str] | None, now: datetime
) -> list[Alert]:
    """Raises and closes alerts of these kinds for these authorities (None: for all), in the open transaction.

    An authority has one alert of a kind. That of urgent cases is raised anew when another case climbs to it.
    """
    alerts = [ALERTS[kind] for kind in kinds] + [IN_DIGEST] * (EscalationKind.ESCALATED in kinds)
    given = {"kinds": [kind.value for kind in kinds], "whom": sorted(whom) if whom is not None else None}
    standing = {
        _place(EscalationKind(kind), told_to): Standing(*rest)
        for kind, told_to, *rest in connection.execute(OPEN, given)
    }
    agencies = ["" if one == DIGEST else one for one in sorted(whom)] if whom is not None else None
    rows = connection.execute(TOLD, {"alerts": alerts, "whom": agencies})
    told = {(kind, agency): newest for kind, agency, newest in rows}
    again = {place for place in standing if place in told and _is_news(place, standing[place], told[place])}
    over = [Concern(*place) for place in told if place not in standing or place in again]
    raised = [
        Raise(Concern(*place), one.oldest, one.newest, {"count": str(one.cases), "case": one.first_case})
        for place, one in sorted(standing.items())
        if place not in told or place in again
    ]
    first = tell_alerts(connection, [], over, now) if over else []
    return first + (tell_alerts(connection, raised, [], now) if raised else [])


def _place(kind: EscalationKind, told_to: str) -> tuple[str, str]:
    return (IN_DIGEST, "") if told_to == DIGEST else (ALERTS[kind], told_to)


def _is_news(place: tuple[str, str], standing: Standing, newest_told: datetime | None) -> bool:
    return place[0] in RAISED_ANEW and newest_told is not None and newest_told < standing.newest
