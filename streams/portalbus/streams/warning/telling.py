"""What people are told: surges and like texts as alerts, with their evidence, told again as they grow, closed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from psycopg import Connection

from portalbus.schemas.notices import Alert
from portalbus.streams.ledger.alerts import Concern, Raise, tell_alerts, update_alert
from portalbus.streams.warning.likeness import Alike, Kind
from portalbus.streams.warning.places import provinces
from portalbus.streams.warning.series import EVERY, Series
from portalbus.streams.warning.watch import Change, Surge

SURGE = "feedback.surge"
ALIKE = {Kind.FEEDBACK: "feedback.repeated", Kind.REFUSAL: "refusal.copied"}
WHOLE_COUNTRY = "Việt Nam"
NO_AREA = "–"
MOST_PLACES = 5

OPEN = "select kind, agency, topic, since from ledger.alert where closed_at is null and kind = any(%s)"


def open_surges(connection: Connection[Any]) -> dict[Series, datetime]:
    """The surges that people were told of and that are not over, with since when."""
    rows = connection.execute(OPEN, ([SURGE],))
    return {Series(*topic.rsplit("@", 1)): since for _, _, topic, since in rows if "@" in topic}


def open_likenesses(connection: Connection[Any]) -> dict[tuple[Kind, str, str], datetime]:
    """The like texts that people were told of, by kind, agency and first text, with since when."""
    kinds = {name: kind for kind, name in ALIKE.items()}
    rows = connection.execute(OPEN, (list(kinds),))
    return {(kinds[kind], agency, topic): since for kind, agency, topic, since in rows}


def tell(connection: Connection[Any], changes: Iterable[Surge | Alike], now: datetime) -> list[Alert]:
    """Opens, tells again and closes alerts, in a transaction of its own; returns those that were told."""
    found = [(one.change, _surge(one) if isinstance(one, Surge) else _alike(one)) for one in changes]
    if not found:
        return []
    with connection.transaction():
        again = [update_alert(connection, one, now) for change, one in found if change is Change.GROWS]
        over = [one.concern for change, one in found if change is Change.ENDS]
        raised = [one for change, one in found if change is Change.BEGINS]
        return [alert for alert in again if alert is not None] + tell_alerts(connection, raised, over, now)


def _surge(one: Surge) -> Raise:
    field, area = one.series
    province = provinces().get(area)
    place = WHOLE_COUNTRY if area == EVERY else province.name_vi if province else NO_AREA
    params = {
        "series": place if field == EVERY else f"{field or NO_AREA}, {place}",
        "observed": str(one.observed),
        "expected": f"{one.expected:.1f}",
        "examples": ", ".join(one.examples),
    }
    return Raise(Concern(SURGE, province.agency if province else "", topic=f"{field}@{area}"), one.since, None, params)


def _alike(one: Alike) -> Raise:
    names = [provinces()[area].name_vi for area in one.where if area in provinces()]
    more = "" if len(names) <= MOST_PLACES else " …"
    params = {
        "series": ", ".join(names[:MOST_PLACES]) + more or NO_AREA,
        "observed": str(one.observed),
        "examples": ", ".join(one.examples),
    }
    return Raise(Concern(ALIKE[one.kind], one.about, topic=one.first), one.since, None, params)
