"""Notices in the ledger: they take positions of the same order as judgements, and go out with them, exactly once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from psycopg import Connection

from portalbus.streams.judgement.notice import Notice
from portalbus.streams.ledger.order import advance_position, take_turn

INSERT = """
insert into ledger.notice (position, topic, key, record, value, made_at)
select position, topic, key, record, value, made_at from json_to_recordset(%s)
    as row (position int8, topic text, key text, record text, value jsonb, made_at timestamptz)"""


def write_notices(
    connection: Connection[Any], first_position: int, notices: Sequence[Notice], made_at: datetime
) -> int:
    """Writes notices from this position on, in the open transaction; returns the next free position.

    For callers that have taken the order already (`take_turn`) and will give it back (`advance_position`).
    """
    write_placed(connection, enumerate(notices, first_position), lambda _: made_at)
    return first_position + len(notices)


def send_notices(connection: Connection[Any], notices: Sequence[Notice], made_at: datetime | None = None) -> None:
    """Writes notices in the open transaction, for callers that write nothing else in the ledger's order.

    At the database's time unless another is given. It holds up the intake until the transaction ends: call it last.
    """
    if notices:
        first, now = take_turn(connection)
        advance_position(connection, write_notices(connection, first, notices, made_at or now))


def write_placed(
    connection: Connection[Any], placed: Iterable[tuple[int, Notice]], made_at: Callable[[int], datetime]
) -> None:
    """Writes notices that have their positions; `made_at` tells when the one at a position was made."""
    rows = [
        {
            "position": position,
            "topic": notice.topic,
            "key": notice.key,
            "record": type(notice.record).__name__,
            "value": notice.record.model_dump(mode="json"),
            "made_at": made_at(position).isoformat(),
        }
        for position, notice in placed
    ]
    if rows:
        connection.execute(INSERT, (json.dumps(rows, ensure_ascii=False),))
