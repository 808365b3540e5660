"""Tells each recipient of the alerts behind his place, one after the other, in the ledger's order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import structlog
from psycopg import Connection

from portalbus.connectors.alerting.channels import Channel, NotTold
from portalbus.connectors.alerting.saying import Saying
from portalbus.schemas.notices import Alert
from portalbus.schemas.topics import ALERTS

log = structlog.get_logger(__name__)

PACKAGE = "portalbus.connectors.alerting"
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 900.0
TRIES = 110
"""With these pauses a little more than a day; then the alert is passed over and the next ones have their turn."""
MOST_A_TURN = 50
STRIDE = 1_000
"""Positions that concern somebody else, after which a place is moved over them."""

NEW_PLACE = """
insert into alerting.place (recipient, position) select %s, next - 1 from ledger.position on conflict do nothing"""
TAKE = """
select position, failures, (select coalesce(max(position), 0) from ledger.notice) from alerting.place
where recipient = %s and due_at <= now() for update skip locked"""
NEXT = """
select position, value, made_at from ledger.notice
where topic = %s and position > %s and (%s = '*' or value ->> 'agency' = %s) order by position limit 1"""
WAITING = """
select count(*) from ledger.notice
where topic = %s and position > %s and (%s = '*' or value ->> 'agency' = %s)"""
TOLD = """
update alerting.place set position = %s, failures = 0, due_at = now(), told = told + %s, last_error = %s
where recipient = %s"""
MOVE = "update alerting.place set position = %s where recipient = %s"
LATER = """
update alerting.place set failures = failures + 1, due_at = now() + make_interval(secs => %s), last_error = %s
where recipient = %s"""

Counted = Callable[[str, str], None]
"""Hears the kind of channel and the outcome."""


@dataclass(frozen=True, slots=True)
class Condition:
    """How it stands with one recipient."""

    recipient: str
    told: int
    waiting: int
    failures: int
    last_error: str


def begin(connection: Connection[Any], recipients: Iterable[Channel]) -> None:
    """Gives every recipient his place. A new one hears of what comes from now on."""
    with connection.transaction():
        for channel in recipients:
            connection.execute(NEW_PLACE, (channel.name,))


def tell_all(connection: Connection[Any], recipients: Iterable[Channel], counted: Counted) -> int:
    """Tells everybody what is due; returns how many alerts. One who cannot be reached holds up nobody else."""
    return sum(_tell(connection, channel, counted) for channel in recipients)


def _tell(connection: Connection[Any], channel: Channel, counted: Counted) -> int:
    told = 0
    while told < MOST_A_TURN and _tell_next(connection, channel, counted):
        told += 1
    return told


def _tell_next(connection: Connection[Any], channel: Channel, counted: Counted) -> bool:
    """One alert, in a transaction of its own: the place moves when it was told. Two processes never tell the same."""
    with connection.transaction():
        taken = connection.execute(TAKE, (channel.name,)).fetchone()
        if taken is None:
            return False
        place, failures, end = taken
        found = connection.execute(NEXT, (ALERTS, place, channel.agency, channel.agency)).fetchone()
        if found is None:
            if end - place > STRIDE:  # read before the alerts were looked for, so nothing between is passed over
                connection.execute(MOVE, (end, channel.name))
            return False
        position, value, made_at = found
        alert = Alert.model_validate(value)
        try:
            channel.tell(Saying(alert, position, made_at))
        except NotTold as error:
            return _not_told(connection, channel, alert, position, failures, error, counted)
        connection.execute(TOLD, (position, 1, "", channel.name))
        counted(channel.kind, "told")
        log.info("alerting.told", channel=channel.kind, agency=channel.agency, alert=alert.id, kind=alert.kind)
        return True


def _not_told(
    connection: Connection[Any],
    channel: Channel,
    alert: Alert,
    position: int,
    failures: int,
    error: NotTold,
    counted: Counted,
) -> bool:
    given_up = error.final or failures + 1 >= TRIES
    counted(channel.kind, "failed")
    log.warning(
        "alerting.given-up" if given_up else "alerting.later",
        channel=channel.kind,
        agency=channel.agency,
        alert=alert.id,
        why=error.why,
        failures=failures + 1,
    )
    if given_up:
        connection.execute(TOLD, (position, 0, error.why, channel.name))
        return True
    connection.execute(LATER, (min(FIRST_PAUSE_S * 2**failures, LONGEST_PAUSE_S), error.why, channel.name))
    return False


def conditions(connection: Connection[Any], recipients: Iterable[Channel]) -> list[Condition]:
    """How it stands with everybody."""
    found = []
    for channel in recipients:
        row = connection.execute(
            "select told, position, failures, last_error from alerting.place where recipient = %s", (channel.name,)
        ).fetchone()
        if row is not None:
            told, place, failures, last_error = row
            row = connection.execute(WAITING, (ALERTS, place, channel.agency, channel.agency)).fetchone()
            found.append(Condition(channel.name, told, row[0] if row else 0, failures, last_error))
    return found
