"""Webhook subscriptions as they are kept, and what people do with them and with failed deliveries."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row

from portalbus.connectors.push.signing import key_of
from portalbus.connectors.push.wanted import Wanted
from portalbus.connectors.web_addresses import web_address
from portalbus.streams.ledger.database import connect, migrate

PACKAGE = "portalbus.connectors.push"

LIST = """
select id, url, secrets, agencies, types, languages, whole, internal, since, created_at, created_by, changed,
       delivered, last_delivered_at, last_failed_at, last_error,
       (select count(*) from push.delivery d where d.subscription = s.id and given_up_at is null) as queued,
       (select count(*) from push.delivery d where d.subscription = s.id and given_up_at is not null) as failed,
       (select min(m.made_at) from push.delivery d join push.message m on m.number = d.message
        where d.subscription = s.id) as oldest
from push.subscription s order by created_at, id"""
FAILED = """
select d.subscription, m.webhook_id, m.event_type, m.key, m.position, d.failures, d.first_failed_at,
       d.given_up_at, d.last_error,
       (select count(*) from push.delivery o join push.message om on om.number = o.message
        where o.subscription = d.subscription and om.key = m.key and o.message > d.message) as behind
from push.delivery d join push.message m on m.number = d.message
where d.given_up_at is not null and (%(subscription)s::text is null or d.subscription = %(subscription)s)
order by d.given_up_at, d.subscription, d.message limit %(limit)s"""
# The sender locks deliveries, then subscriptions; who locks them the other way round would meet it in a deadlock.
WAIT_FOR_SENDER = "select 1 from push.sender for update"
CHOSEN = """
d.given_up_at is not null and d.subscription = %(subscription)s and m.number = d.message
and (%(webhook_ids)s::text[] is null or m.webhook_id = any(%(webhook_ids)s))"""
DROP = f"""
with gone as (
    delete from push.delivery d using push.message m where {CHOSEN} returning d.message, d.subscription, d.failures
)
insert into push.ended (message, subscription, delivered, attempts, ended_at)
select message, subscription, false, failures, now() from gone
on conflict (message, subscription) do update
    set delivered = false, attempts = excluded.attempts, ended_at = excluded.ended_at"""


@dataclass(frozen=True, slots=True)
class Subscription:
    """One receiver. `internal` allows http and private addresses; `whole` also sends what only bodies concerned get."""

    id: str
    url: str
    secrets: list[str] = field(repr=False)
    agencies: list[str]
    types: list[str]
    languages: list[str]
    whole: bool
    internal: bool
    since: int
    created_at: datetime
    created_by: str
    changed: int

    @property
    def wanted(self) -> Wanted:
        """What it wants to hear of."""
        return Wanted(frozenset(self.agencies), frozenset(self.types), frozenset(self.languages))


@dataclass(frozen=True, slots=True)
class ListedSubscription(Subscription):
    """A subscription and how it is doing; `oldest` is when the oldest thing that has not arrived was said."""

    delivered: int
    last_delivered_at: datetime | None
    last_failed_at: datetime | None
    last_error: str | None
    queued: int
    failed: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class FailedDelivery:
    """A delivery that was given up; `behind` counts the later ones of its key that wait for what becomes of it."""

    subscription: str
    webhook_id: str
    event_type: str
    key: str
    position: int
    failures: int
    first_failed_at: datetime | None
    given_up_at: datetime
    last_error: str | None
    behind: int


def open_desk(database_url: str) -> Connection[Any]:
    """A connection to the subscriptions, their tables made if need be. Raises psycopg.OperationalError."""
    migrate(database_url, PACKAGE)
    return connect(database_url, application="webhooks-desk")


def add_subscription(
    connection: Connection[Any],
    url: str,
    wanted: Wanted,
    *,
    secret: str,
    whole: bool = False,
    internal: bool = False,
    created_by: str,
) -> str:
    """A new subscription; it gets whatever is accepted after this returned. Gives its id.

    Raises AddressRefused for an address that may not be called, ValueError for a secret that is none, or for `whole`
    without an agency.
    """
    web_address(url, plain=internal)
    key_of(secret)
    if whole and not wanted.agencies:
        raise ValueError("the whole of a feedback is for the body that handles it: name it with --agency")
    subscription_id = f"wh_{secrets.token_hex(6)}"
    with connection.transaction():
        connection.execute(
            "insert into push.subscription (id, url, secrets, agencies, types, languages, whole, internal, since,"
            " created_by) values (%s, %s, %s, %s, %s, %s, %s, %s,"
            " coalesce((select next - 1 from ledger.position), 0), %s)",
            (
                subscription_id,
                url,
                [secret],
                sorted(wanted.agencies),
                sorted(wanted.types),
                sorted(wanted.languages),
                whole,
                internal,
                created_by,
            ),
        )
    return subscription_id


def list_subscriptions(connection: Connection[Any]) -> list[ListedSubscription]:
    """All subscriptions, oldest first."""
    with connection.transaction(), connection.cursor(row_factory=class_row(ListedSubscription)) as cursor:
        return cursor.execute(LIST).fetchall()


def remove_subscription(connection: Connection[Any], subscription_id: str) -> int | None:
    """Takes a subscription away, with what it has not got; tells how many deliveries that were. None: unknown."""
    with connection.transaction():
        connection.execute(WAIT_FOR_SENDER)
        row = connection.execute(
            "select count(d.message) from push.subscription s left join push.delivery d on d.subscription = s.id"
            " where s.id = %s group by s.id",
            (subscription_id,),
        ).fetchone()
        connection.execute("delete from push.subscription where id = %s", (subscription_id,))
    return int(row[0]) if row else None


def list_failed(
    connection: Connection[Any], subscription_id: str | None = None, limit: int = 1_000
) -> list[FailedDelivery]:
    """Deliveries that were given up, oldest first."""
    with connection.transaction(), connection.cursor(row_factory=class_row(FailedDelivery)) as cursor:
        return cursor.execute(FAILED, {"subscription": subscription_id, "limit": limit}).fetchall()


def redrive(connection: Connection[Any], subscription_id: str, webhook_ids: Sequence[str] | None = None) -> int:
    """Gives failed deliveries another 24 hours, all of them or these; tells how many."""
    return _decide(
        connection,
        "update push.delivery d set given_up_at = null, failures = 0, first_failed_at = null, due_at = now()"
        f" from push.message m where {CHOSEN}",
        subscription_id,
        webhook_ids,
    )


def drop_failed(connection: Connection[Any], subscription_id: str, webhook_ids: Sequence[str]) -> int:
    """Takes failed deliveries away for good: what waits behind them goes out. Tells how many."""
    return _decide(connection, DROP, subscription_id, webhook_ids)


def _decide(
    connection: Connection[Any], statement: str, subscription_id: str, webhook_ids: Sequence[str] | None
) -> int:
    chosen = {"subscription": subscription_id, "webhook_ids": None if webhook_ids is None else list(webhook_ids)}
    with connection.transaction():
        connection.execute(WAIT_FOR_SENDER)
        done = connection.execute(statement.encode(), chosen).rowcount
        if done:
            connection.execute("update push.subscription set changed = changed + 1 where id = %s", (subscription_id,))
    return done
