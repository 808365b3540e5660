"""What the sending process reads and writes in PostgreSQL. Every write holds the sender's row: one writes, or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row

from portalbus.connectors.push.messages import Message
from portalbus.connectors.push.receiver_queue import Waiting
from portalbus.connectors.push.subscriptions import Subscription
from portalbus.producers.subscription import Place
from portalbus.schemas.errors import PortalbusError

SUBSCRIPTIONS = """
select id, url, secrets, agencies, types, languages, whole, internal, since, created_at, created_by, changed
from push.subscription order by id"""
WAITING = """
select d.message, m.key, extract(epoch from d.due_at)::float8, d.failures,
       extract(epoch from d.first_failed_at)::float8, d.given_up_at is not null
from push.delivery d join push.message m on m.number = d.message where d.subscription = %s order by d.message"""
DELIVERED = """
update push.subscription s set delivered = delivered + got.count, last_delivered_at = now()
from (select subscription, count(*) from unnest(%s::text[]) as t(subscription) group by subscription) got
where s.id = got.subscription"""
FAILED = """
update push.delivery set failures = %s, due_at = %s, first_failed_at = %s, last_failed_at = now(), last_error = %s,
    given_up_at = case when %s then now() end
where subscription = %s and message = %s"""
KEPT_DAYS = 90
ARRIVED = """
with gone as (
    delete from push.delivery d
    using unnest(%s::text[], %s::bigint[], %s::integer[], %s::timestamptz[])
        as arrived(subscription, message, tries, at)
    where d.subscription = arrived.subscription and d.message = arrived.message
    returning arrived.*
)
insert into push.ended (message, subscription, delivered, attempts, ended_at)
select message, subscription, true, tries, at from gone
on conflict (message, subscription) do update
    set delivered = true, attempts = excluded.attempts, ended_at = excluded.ended_at"""
FORGET = f"delete from push.ended where ended_at < now() - interval '{KEPT_DAYS} days'"
SWEEP = """
delete from push.message m where not exists (select 1 from push.delivery d where d.message = m.number)"""


class Superseded(PortalbusError):
    """Another process sends the webhooks now; this one must end."""


@dataclass(frozen=True, slots=True)
class Body:
    """What to post."""

    webhook_id: str
    event_type: str
    body: str
    whole: str | None

    def text(self, whole: bool) -> str:
        """The body for a subscription."""
        return self.whole if whole and self.whole is not None else self.body


@dataclass(frozen=True, slots=True)
class Delivered:
    """It has arrived: after so many attempts, at `at` seconds since 1970."""

    subscription: str
    message: int
    attempts: int
    at: float


@dataclass(frozen=True, slots=True)
class Undelivered:
    """It has not; how it stands now."""

    subscription: str
    waiting: Waiting
    error: str


def take_over(connection: Connection[Any]) -> int:
    """The term of this process: from here on an older one writes nothing."""
    row = connection.execute("update push.sender set term = term + 1 returning term").fetchone()
    assert row is not None  # noqa: S101 - the migration puts the row in
    return int(row[0])


def hold(connection: Connection[Any], term: int) -> None:
    """Locks the sender's row for this transaction. Raises Superseded."""
    if connection.execute("select 1 from push.sender where term = %s for update", (term,)).fetchone() is None:
        raise Superseded("another process sends the webhooks now")


def subscriptions(connection: Connection[Any]) -> list[Subscription]:
    """All subscriptions as they stand."""
    with connection.cursor(row_factory=class_row(Subscription)) as cursor:
        return cursor.execute(SUBSCRIPTIONS).fetchall()


def places(connection: Connection[Any]) -> dict[str, Place]:
    """How far each partition was read."""
    rows = connection.execute("select part, next_offset, position from push.place")
    return {part: Place(offset, position) for part, offset, position in rows}


def forget_places(connection: Connection[Any]) -> None:
    """Nobody wants anything: the next one who does begins anew."""
    connection.execute("delete from push.place")


def queue(
    connection: Connection[Any],
    messages: Sequence[Message],
    moved: Mapping[str, Place],
) -> list[tuple[str, Message]]:
    """Queues messages for whoever wants them now, and moves the places; gives what was queued, in order."""
    receivers = subscriptions(connection) if messages else []
    wanted = [
        (receiver, message)
        for message in messages
        for receiver in receivers
        if message.position > receiver.since and receiver.wanted.lets_through(message.concerns)
    ]
    if wanted:
        _keep_messages(connection, wanted)
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into push.delivery (subscription, message) values (%s, %s) on conflict do nothing",
            [(receiver.id, message.number) for receiver, message in wanted],
        )
        cursor.executemany(
            "insert into push.place values (%s, %s, %s) on conflict (part) do update"
            " set next_offset = excluded.next_offset, position = excluded.position",
            [(part, place.offset, place.position) for part, place in moved.items()],
        )
    return [(receiver.id, message) for receiver, message in wanted]


def _keep_messages(connection: Connection[Any], wanted: Iterable[tuple[Subscription, Message]]) -> None:
    """Each message once; its confidential whole only when somebody who may have it wants it."""
    kept: dict[int, tuple[Message, bool]] = {}
    for receiver, message in wanted:
        kept[message.number] = message, receiver.whole or kept.get(message.number, (message, False))[1]
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into push.message (number, webhook_id, key, event_type, position, body, whole)"
            " values (%s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
            [
                (
                    message.number,
                    message.webhook_id,
                    message.key,
                    message.concerns.event_type,
                    message.position,
                    message.body,
                    message.whole if whole else None,
                )
                for message, whole in kept.values()
            ],
        )


def waiting(connection: Connection[Any], subscription_id: str) -> list[Waiting]:
    """What a subscription has not got, in order."""
    return [Waiting(*row) for row in connection.execute(WAITING, (subscription_id,))]


def bodies(connection: Connection[Any], numbers: Sequence[int]) -> dict[int, Body]:
    """What to post for these messages, by number."""
    rows = connection.execute(
        "select number, webhook_id, event_type, body, whole from push.message where number = any(%s)", (list(numbers),)
    )
    return {number: Body(*rest) for number, *rest in rows}


def write_results(connection: Connection[Any], results: Sequence[Delivered | Undelivered]) -> None:
    """Writes down what became of deliveries."""
    arrived = [one for one in results if isinstance(one, Delivered)]
    failed = [one for one in results if isinstance(one, Undelivered)]
    last_errors = {one.subscription: one.error for one in failed}
    with connection.cursor() as cursor:
        if arrived:
            subscriptions = [one.subscription for one in arrived]
            numbers, attempts = [one.message for one in arrived], [one.attempts for one in arrived]
            cursor.execute(ARRIVED, (subscriptions, numbers, attempts, [_time(one.at) for one in arrived]))
            cursor.execute(DELIVERED, (subscriptions,))
        if failed:
            cursor.executemany(FAILED, [_failed_row(one) for one in failed])
            cursor.executemany(
                "update push.subscription set last_failed_at = now(), last_error = %s where id = %s",
                [(error, subscription) for subscription, error in last_errors.items()],
            )


def sweep(connection: Connection[Any]) -> int:
    """Deletes the messages that everybody has, and what ended long ago; tells how many messages."""
    connection.execute(FORGET)
    return connection.execute(SWEEP).rowcount


def _failed_row(result: Undelivered) -> tuple[Any, ...]:
    one = result.waiting
    first = None if one.first_failed_at is None else _time(one.first_failed_at)
    return one.failures, _time(one.due_at), first, result.error, one.given_up, result.subscription, one.number


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
