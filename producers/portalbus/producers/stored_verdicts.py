"""The verdicts that have come back, as they lie in the outbox."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from portalbus.producers.outbox import Outbox
from portalbus.producers.stored_event import id_bytes
from portalbus.schemas.models import Verdict

BATCH = 500


def stored_verdicts(outbox: Outbox, event_id: str | None, since: datetime | None) -> Iterator[Verdict]:
    """The verdicts that were read so far, oldest first: on one event, or since a time of judgement."""
    after, least = -1, int(since.timestamp() * 1000) if since else 0
    only = "" if event_id is None else " and event_id = ?"
    about: tuple[Any, ...] = () if event_id is None else (id_bytes(event_id),)
    while True:
        with outbox.reading() as connection:
            rows = connection.execute(
                f"select offset, value from verdict where offset > ? and judged_at >= ?{only} order by offset limit ?",
                (after, least, *about, BATCH),
            ).fetchall()
        for _, value in rows:
            yield Verdict.model_validate_json(value)
        if len(rows) < BATCH:
            return
        after = rows[-1][0]
