"""The verdicts that have come back, as they lie in the outbox."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from portalbus.producers.outbox import Outbox
from portalbus.producers.stored_event import id_bytes
from portalbus.schemas.models import Verdict

BATCH = 500


def stored_verdicts(outbox: Outbox, event_id: str | None, since: datetime | None) -> Iterator[Verdict]:
    """The verdicts that were read so far, oldest first: on one event, or since a time of judgement."""
    after, least = -1, int(since.timestamp() * 1000) if since else 0
    about = id_bytes(event_id) if event_id else None
    while True:
        with outbox.reading() as connection:
            rows = connection.execute(
                "select offset, value from verdict where offset > ?1 and judged_at >= ?2"
                " and (?3 is null or event_id = ?3) order by offset limit ?4",
                (after, least, about, BATCH),
            ).fetchall()
        for _, value in rows:
            yield Verdict.model_validate_json(value)
        if len(rows) < BATCH:
            return
        after = rows[-1][0]
