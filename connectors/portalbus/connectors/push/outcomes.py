"""What became of the webhooks of an event, for traces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from psycopg import Connection

from portalbus.streams.reading.tracing import ToReceiver

OUTCOMES = """
select d.message, d.subscription, s.url, m.webhook_id,
    case when d.given_up_at is null then 'queued' else 'given_up' end as state, d.failures,
    coalesce(d.given_up_at, d.last_failed_at) as at, d.last_error
from push.delivery d join push.message m on m.number = d.message join push.subscription s on s.id = d.subscription
where d.message = any(%(numbers)s)
union all
select e.message, e.subscription, s.url, null, case when e.delivered then 'delivered' else 'dropped' end, e.attempts,
    e.ended_at, null
from push.ended e left join push.subscription s on s.id = e.subscription
where e.message = any(%(numbers)s)
order by 1, 7 nulls last, 2
"""


def outcomes_of(connection: Connection[Any], positions: Mapping[int, str | None]) -> dict[int, tuple[ToReceiver, ...]]:
    """By ledger position, given with the id of its event: the event's webhooks first, then those of its verdict.

    Nothing when no webhook process has ever run on this ledger.
    """
    known = connection.execute("select to_regclass('push.ended')").fetchone()
    if not positions or not (known and known[0]):
        return {}
    found: defaultdict[int, list[ToReceiver]] = defaultdict(list)
    for number, subscription, url, webhook_id, *rest in connection.execute(
        OUTCOMES, {"numbers": _numbers(list(positions))}
    ):
        position, is_verdict = divmod(number, 2)
        named = webhook_id or (f"verdict-{position}" if is_verdict else positions[position])
        receiver = None if url is None else urlsplit(url).netloc
        found[position].append(ToReceiver(subscription, receiver, str(named), *rest))
    return {position: tuple(outcomes) for position, outcomes in found.items()}


def _numbers(positions: Sequence[int]) -> list[int]:
    return [number for position in positions for number in (2 * position, 2 * position + 1)]
