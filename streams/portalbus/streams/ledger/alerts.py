"""Alerts: raised once, closed once, each a row of the ledger and a notice to `central.alert`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from psycopg import Connection
from psycopg.types.json import Jsonb

from portalbus.schemas.alert_texts import alert_message, closed_by_hand
from portalbus.schemas.identifiers import new_event_id
from portalbus.schemas.models import Texts
from portalbus.schemas.notices import Alert, AlertStatus
from portalbus.schemas.topics import ALERTS
from portalbus.schemas.zone import ZONE
from portalbus.streams.judgement.notice import Notice
from portalbus.streams.ledger.clock import read_time
from portalbus.streams.ledger.notices import send_notices

NO_PARAMS: Mapping[str, str] = MappingProxyType({})

INSERT = """
insert into ledger.alert (id, kind, agency, portal, event_type, topic, since, expected_by, raised_at, params, message)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
on conflict (kind, agency, portal, event_type, topic) where closed_at is null do nothing"""
CLOSE = """
update ledger.alert set closed_at = %s
where kind = %s and agency = %s and portal = %s and event_type = %s and topic = %s and closed_at is null
returning id::text, since, expected_by, raised_at, params"""
CLOSE_BY_HAND = """
update ledger.alert set closed_at = %s, closed_by = %s, closed_why = %s
where id = %s::uuid and closed_at is null
returning kind, agency, portal, event_type, topic, since, expected_by, raised_at, params"""
UPDATE = """
update ledger.alert set params = %s, message = %s
where kind = %s and agency = %s and portal = %s and event_type = %s and topic = %s and closed_at is null
returning id::text, since, expected_by, raised_at"""


class Concern(NamedTuple):
    """What an alert is about; an empty name means that it is not about one. At most one alert a concern is open.

    `topic` tells apart what is no source: the field and area of a surge, the first of like texts.
    """

    kind: str
    agency: str = ""
    portal: str = ""
    event_type: str = ""
    topic: str = ""

    @property
    def source(self) -> str:
        """Agency and portal, as far as they are named."""
        return "/".join(filter(None, (self.agency, self.portal)))


@dataclass(frozen=True, slots=True)
class Raise:
    """An alert to raise. `params` fill places of its texts that the concern and the times do not."""

    concern: Concern
    since: datetime
    expected_by: datetime | None = None
    params: Mapping[str, str] = field(default_factory=dict)


def raise_alert(
    connection: Connection[Any],
    concern: Concern,
    since: datetime,
    *,
    expected_by: datetime | None = None,
    params: Mapping[str, str] = NO_PARAMS,
    now: datetime | None = None,
) -> bool:
    """Raises an alert in the open transaction; False when it is open already.

    Takes the ledger's order and holds up the intake until the transaction ends: call it last. Raises KeyError for a
    kind without texts.
    """
    return bool(tell_alerts(connection, [Raise(concern, since, expected_by, params)], [], now))


def close_alert(connection: Connection[Any], concern: Concern, *, now: datetime | None = None) -> bool:
    """Closes an alert in the open transaction, like `raise_alert`; False when none is open."""
    return bool(tell_alerts(connection, [], [concern], now))


def tell_alerts(
    connection: Connection[Any], raised: list[Raise], over: list[Concern], now: datetime | None = None
) -> list[Alert]:
    """Raises and closes alerts, and tells those that were not open or closed already; returns these.

    At the database's time unless another is given.
    """
    at = now or read_time(connection)
    told = [alert for one in raised if (alert := _open(connection, one, at))]
    told += [alert for concern in over if (alert := _close(connection, concern, at))]
    send_notices(connection, [Notice(ALERTS, _key(alert), alert) for alert in told], at)
    return told


def close_by_hand(
    connection: Connection[Any], alert_id: str, *, who: str, why: str, now: datetime | None = None
) -> Alert | None:
    """Closes an open alert for a person's reason, and tells it; None when none of this id is open. Like `raise_alert`.

    Whoever watches for its cause goes on: where that is looked at anew each time, it is raised again while it lasts.
    """
    at = now or read_time(connection)
    row = connection.execute(CLOSE_BY_HAND, (at, who, why, alert_id)).fetchone()
    if row is None:
        return None
    *concern, since, expected_by, raised_at, params = row
    one = Raise(Concern(*concern), since, expected_by, params)
    alert = _record(alert_id, one, AlertStatus.CLOSED, raised_at, at, closed_by_hand(why))
    send_notices(connection, [Notice(ALERTS, _key(alert), alert)], at)
    return alert


def update_alert(connection: Connection[Any], one: Raise, now: datetime | None = None) -> Alert | None:
    """Tells an open alert again with new `params`, under the same id; None when it is not open. Like `raise_alert`."""
    message = alert_message(one.concern.kind, AlertStatus.OPEN, _places(one, None))
    changed = (Jsonb(dict(one.params)), Jsonb(message.model_dump()))
    row = connection.execute(UPDATE, (*changed, *one.concern)).fetchone()
    if row is None:
        return None
    alert_id, since, expected_by, raised_at = row
    again = Raise(one.concern, since, expected_by, one.params)
    alert = _record(alert_id, again, AlertStatus.OPEN, raised_at, None, message)
    send_notices(connection, [Notice(ALERTS, _key(alert), alert)], now)
    return alert


def _open(connection: Connection[Any], one: Raise, now: datetime) -> Alert | None:
    alert_id, concern = new_event_id(), one.concern
    message = alert_message(concern.kind, AlertStatus.OPEN, _places(one, None))
    alert = _record(alert_id, one, AlertStatus.OPEN, now, None, message)
    inserted = connection.execute(
        INSERT,
        (
            alert_id,
            *concern,
            one.since,
            one.expected_by,
            now,
            Jsonb(dict(one.params)),
            Jsonb(message.model_dump()),
        ),
    )
    return alert if inserted.rowcount else None


def _close(connection: Connection[Any], concern: Concern, now: datetime) -> Alert | None:
    row = connection.execute(CLOSE, (now, *concern)).fetchone()
    if row is None:
        return None
    alert_id, since, expected_by, raised_at, params = row
    one = Raise(concern, since, expected_by, params)
    message = alert_message(concern.kind, AlertStatus.CLOSED, _places(one, now))
    return _record(alert_id, one, AlertStatus.CLOSED, raised_at, now, message)


def _record(
    alert_id: str, one: Raise, status: AlertStatus, raised_at: datetime, closed_at: datetime | None, message: Texts
) -> Alert:
    concern = one.concern
    return Alert(
        id=alert_id,
        kind=concern.kind,
        status=status,
        agency=concern.agency or None,
        portal=concern.portal or None,
        event_type=concern.event_type or None,
        since=one.since,
        expected_by=one.expected_by,
        raised_at=raised_at,
        closed_at=closed_at,
        message=message,
    )


def _places(one: Raise, until: datetime | None) -> dict[str, str]:
    concern = one.concern
    return {
        **one.params,
        "source": concern.source,
        "agency": concern.agency,
        "portal": concern.portal,
        "event_type": concern.event_type,
        "since": _time(one.since),
        "expected_by": _time(one.expected_by),
        "until": _time(until),
    }


def _time(moment: datetime | None) -> str:
    """A moment as people in Viet Nam write it in any of the three languages."""
    return moment.astimezone(ZONE).strftime("%Y-%m-%d %H:%M") if moment else "–"


def _key(alert: Alert) -> str:
    return "/".join(filter(None, (alert.agency, alert.portal))) or "central"
