"""What lies in one bucket of the manifest, event by event: for a centre whose digest of it differs."""

from __future__ import annotations

from datetime import UTC, date, datetime

from portalbus.producers.backlog import DAY, Backlog
from portalbus.producers.source_row import known_source
from portalbus.producers.stored_event import id_text
from portalbus.schemas.identifiers import new_event_id
from portalbus.schemas.models import BucketContents, BucketEvent
from portalbus.schemas.notices import DigestRequested

MOST_EVENTS = 1_500
"""So many events fit into one record with room to spare; the centre asks on from the last one."""

KEPT_FROM = """
select min(sequence) from event
where sequence not in (select sequence from undeliverable union all select sequence from resend)"""
"""What is let go of goes in order, but for those that are still to be delivered."""

IN_BUCKET = """
select sequence, event_id, content_hash, sequence not in (select sequence from undeliverable)
from event where sequence between ? and ? and published_at >= ? and published_at < ? and event_type = ?
order by sequence limit ?"""


def read_contents(backlog: Backlog, asked: DigestRequested) -> BucketContents | None:
    """The events of the bucket, as many as fit, from the sequence that was asked for; None for another epoch's."""
    since = (asked.day - date(1970, 1, 1)).days * DAY
    with backlog.database.reading() as connection:
        row = known_source(connection)
        if asked.epoch != row.epoch:
            return None
        (kept_from,) = connection.execute(KEPT_FROM).fetchone()
        first, last = max(asked.first, kept_from or row.delivered_sequence + 1), row.delivered_sequence
        found = connection.execute(
            IN_BUCKET, (first, last, since, since + DAY, asked.event_type, MOST_EVENTS)
        ).fetchall()
    return BucketContents(
        id=new_event_id(),
        agency=row.agency,
        portal=row.portal,
        epoch=row.epoch,
        day=asked.day,
        event_type=asked.event_type,
        first=first,
        last=found[-1][0] if len(found) == MOST_EVENTS else last,
        events=tuple(
            BucketEvent(id=id_text(event_id), sequence=sequence, content_hash=digest.hex(), delivered=bool(delivered))
            for sequence, event_id, digest, delivered in found
        ),
        sent_at=datetime.now(UTC),
    )
