"""What sources state of themselves, and what they have sent again for the reconciliation."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection

from portalbus.schemas.models import PAYLOADS, BucketContents, SourceManifest
from portalbus.streams.judgement.reconciling import Reconciling

OLDEST, NEWEST = timedelta(days=400), timedelta(days=2)
"""Buckets of other days are not kept: no source can fill the ledger with what it never published."""

BUCKETS = """
insert into ledger.manifest_bucket (agency, portal, epoch, event_type, day, count, digest, delivered_sequence,
    stated_at)
select agency, portal, epoch, event_type, day, count, digest, delivered_sequence, stated_at
from json_to_recordset(%s) as row (agency text, portal text, epoch int4, event_type text, day date, count int8,
    digest bytea, delivered_sequence int8, stated_at timestamptz)
on conflict (agency, portal, epoch, event_type, day) do update set count = excluded.count, digest = excluded.digest,
    delivered_sequence = excluded.delivered_sequence, stated_at = excluded.stated_at
where manifest_bucket.delivered_sequence <= excluded.delivered_sequence"""
CONTENTS = """
insert into ledger.bucket_contents (agency, portal, epoch, event_type, day, first, last, events, heard_at)
select %(agency)s, %(portal)s, %(epoch)s, %(event_type)s, %(day)s, %(first)s, %(last)s, %(events)s::jsonb, %(heard_at)s
where exists (select from ledger.inquiry where agency = %(agency)s and portal = %(portal)s and epoch = %(epoch)s
              and event_type = %(event_type)s and day = %(day)s and first <= %(first)s)
on conflict (agency, portal, epoch, event_type, day) do update set first = excluded.first, last = excluded.last,
    events = excluded.events, heard_at = excluded.heard_at"""
RESENT = """
update ledger.repair set value = %s
where agency = %s and event_id = %s and healed_at is null and asked_at is not null"""


def write_statements(connection: Connection[Any], reconciling: Reconciling) -> None:
    """Writes what a batch brought for the reconciliation, most often nothing."""
    if rows := list({_name(row): row for row in _bucket_rows(reconciling.manifests)}.values()):
        connection.execute(BUCKETS, (json.dumps(rows),))
    for contents, heard_at in reconciling.contents:
        connection.execute(CONTENTS, _contents_row(contents, heard_at))
    for agency, event_id, value in reconciling.resent:
        connection.execute(RESENT, (value, agency, event_id))


def _bucket_rows(manifests: Iterable[tuple[SourceManifest, datetime]]) -> Iterator[dict[str, Any]]:
    for manifest, stated_at in manifests:
        for bucket in manifest.buckets:
            if bucket.event_type in PAYLOADS and -OLDEST <= bucket.day - stated_at.date() <= NEWEST:
                yield {
                    "agency": manifest.agency,
                    "portal": manifest.portal,
                    "epoch": manifest.epoch,
                    "event_type": bucket.event_type,
                    "day": bucket.day.isoformat(),
                    "count": bucket.count,
                    "digest": "\\x" + bucket.digest,
                    "delivered_sequence": manifest.delivered_sequence,
                    "stated_at": stated_at.isoformat(),
                }


def _name(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("agency", "portal", "epoch", "event_type", "day"))


def _contents_row(contents: BucketContents, heard_at: datetime) -> dict[str, Any]:
    return {
        "agency": contents.agency,
        "portal": contents.portal,
        "epoch": contents.epoch,
        "event_type": contents.event_type,
        "day": contents.day,
        "first": contents.first,
        "last": contents.last,
        "events": json.dumps([event.model_dump(mode="json") for event in contents.events]),
        "heard_at": heard_at,
    }
