"""What the hand-written peers share: decode, validate, one upsert for a batch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import psycopg

from portalbus.schemas.codec import WriterSchemas, decode
from portalbus.schemas.models import Event
from portalbus.schemas.registration import SchemaIds
from portalbus.schemas.registry import SchemaRegistry

UPSERT = """
insert into peer.feedback (case_id, public_code, agency, portal, sequence, regime, category, received_at,
                           subject, content)
select * from unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::int8[], %s::text[], %s::int4[],
                     %s::timestamptz[], %s::text[], %s::text[])
on conflict (case_id) do update
set subject = excluded.subject, content = excluded.content, sequence = excluded.sequence"""

LANES = os.environ["BENCH_LANES"].split(",")
GROUP = os.environ["BENCH_GROUP"]
SESSION_S = int(os.environ.get("BENCH_SESSION_S", "45"))
"""After so many seconds without a sign of life, a member's lanes go to another one."""
BOOTSTRAP = os.environ["PORTALBUS_BOOTSTRAP"]


def writers() -> WriterSchemas:
    """The schemas on the lanes."""
    return SchemaIds(SchemaRegistry(os.environ["PORTALBUS_REGISTRY"])).lane_writers()


def connect() -> psycopg.Connection[Any]:
    """The database."""
    return psycopg.connect(os.environ["PORTALBUS_DATABASE"])


def read(value: bytes | None, allowed: WriterSchemas) -> Event:
    """Decodes and validates a value."""
    event = decode(value, allowed)
    assert isinstance(event, Event)
    return event


def upsert(connection: psycopg.Connection[Any], events: Sequence[Event]) -> None:
    """One statement for a batch, committed. Of events that came twice in the batch, the last one counts."""
    events = list({event.key: event for event in events}.values())
    rows = [
        (
            e.payload.case_id,  # type: ignore[union-attr]
            e.payload.public_code,  # type: ignore[union-attr]
            e.envelope.agency,
            e.envelope.portal,
            e.envelope.sequence,
            e.payload.regime,  # type: ignore[union-attr]
            e.payload.category,  # type: ignore[union-attr]
            e.payload.received_at,  # type: ignore[union-attr]
            e.payload.subject,  # type: ignore[union-attr]
            e.payload.content,  # type: ignore[union-attr]
        )
        for e in events
    ]
    connection.execute(UPSERT, [list(column) for column in zip(*rows, strict=True)])
    connection.commit()
