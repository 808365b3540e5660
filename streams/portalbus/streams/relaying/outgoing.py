"""The next judgements and notices in ledger order, and the messages they become."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any

from psycopg import Connection

from portalbus.schemas.avro_files import NAMESPACE
from portalbus.schemas.codec import encode_record
from portalbus.schemas.findings import Finding
from portalbus.schemas.headers import POSITION_HEADER, SHOWN_FROM_HEADER
from portalbus.schemas.models import Verdict, VerdictStatus
from portalbus.schemas.notices import NOTICES
from portalbus.schemas.topics import CANONICAL, lane_of, verdicts_of
from portalbus.schemas.tracing import RELAY, traceparent
from portalbus.streams.judgement.cases import SHOWN_FROM
from portalbus.streams.judgement.decision import RESTORED
from portalbus.streams.relaying.sent_before import event_name, verdict_name

NEXT_JUDGEMENTS = """
select j.position, j.agency, j.lane_offset, e.event_id::text, e.event_type, e.portal, e.epoch, e.sequence, e.key,
       j.status, j.final, j.rule, j.path, coalesce(j.params, '{}'::jsonb), j.judged_at, j.canonical, e.occurred_at
from ledger.judgement j join ledger.event e using (agency, lane_offset)
where j.position > %(after)s order by j.position limit %(limit)s"""
NEXT_NOTICES = """
select position, topic, key, record, value::text from ledger.notice
where position > %(after)s order by position limit %(limit)s"""
NEXT = f"""
with judged as materialized ({NEXT_JUDGEMENTS}), told as materialized ({NEXT_NOTICES})
select judged.*, null, null, null, null, null from judged
union all
select {"null, " * 17} told.* from told"""
"""One statement, so that both tables are seen at the same moment: between two, a transaction could slip in whose first
half would be passed over.
"""

Headers = list[tuple[str, str | bytes | None]]


@dataclass(frozen=True, slots=True)
class Judged:
    """One judgement, as the relay sends it."""

    position: int
    agency: str
    lane_offset: int
    event_id: str | None
    event_type: str | None
    portal: str | None
    epoch: int | None
    sequence: int | None
    key: str | None
    status: str
    final: bool
    rule: str
    path: str | None
    params: dict[str, str]
    judged_at: datetime
    canonical: bytes | None
    occurred_at: datetime | None


@dataclass(frozen=True, slots=True)
class Told:
    """One notice, as the relay sends it; `value` is the record as JSON."""

    position: int
    topic: str
    key: str
    record: str
    value: str


Outgoing = Judged | Told


@dataclass(frozen=True, slots=True)
class Message:
    """One message to a topic."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers
    name: str | None = None
    """What it says, in a few words: see `sent_before`. A notice has none."""


def next_outgoing(connection: Connection[Any], after: int, limit: int) -> list[Outgoing]:
    """The judgements and notices after a position, in ledger order and without a hole."""
    rows = connection.execute(NEXT, {"after": after, "limit": limit})
    found = [Told(*row[17:]) if row[0] is None else Judged(*row[:17]) for row in rows]
    return sorted(found, key=attrgetter("position"))[:limit]


def last_relayed(connection: Connection[Any]) -> int:
    """The last position of which the ledger knows that it was sent, 0 when there is none; a little behind the truth."""
    row = connection.execute("select coalesce(max(position), 0) from ledger.relayed").fetchone()
    return int(row[0]) if row else 0


def messages_of(outgoing: Outgoing, schemas: Mapping[str, int]) -> Iterator[Message]:
    """What to send for one position; `schemas` holds the ids of what the centre says, by record."""
    if isinstance(outgoing, Told):
        yield _notice_message(outgoing, schemas[outgoing.record])
    else:
        yield from _judgement_messages(outgoing, schemas["Verdict"])


def _notice_message(told: Told, schema_id: int) -> Message:
    record = NOTICES[told.record].model_validate_json(told.value)
    return Message(
        told.topic,
        told.key.encode(),
        encode_record(record, told.record, schema_id),
        [
            ("ce_specversion", b"1.0"),
            ("ce_id", f"notice-{told.position}".encode()),
            ("ce_source", b"/central"),
            ("ce_type", f"{NAMESPACE}.{told.record}".encode()),
            ("content-type", b"application/avro"),
            (POSITION_HEADER, str(told.position).encode()),
        ],
    )


def _judgement_messages(judged: Judged, verdict_schema: int) -> Iterator[Message]:
    """The verdict, and for an accepted event the event itself, with the very bytes the portal sent."""
    if judged.canonical is not None and judged.event_type in CANONICAL and judged.rule != RESTORED.rule:
        yield Message(
            CANONICAL[judged.event_type],
            (judged.key or "").encode(),
            judged.canonical,
            _event_headers(judged),
            event_name(judged.agency, judged.event_id),
        )
    verdict = verdict_of(judged)
    key = judged.event_id or f"{verdict.lane}@{judged.lane_offset}"
    yield Message(
        verdicts_of(judged.agency),
        key.encode(),
        encode_record(verdict, "Verdict", verdict_schema),
        _headers(judged, "Verdict", key),
        verdict_name(judged.lane_offset, judged.status, judged.rule),
    )


def verdict_of(judged: Judged) -> Verdict:
    """The verdict in words, from the rule catalogue."""
    finding = Finding(judged.rule, judged.path or "", judged.params)
    return Verdict.model_construct(
        agency=judged.agency,
        lane=lane_of(judged.agency),
        offset=judged.lane_offset,
        event_id=judged.event_id,
        event_type=judged.event_type,
        portal=judged.portal,
        epoch=judged.epoch,
        sequence=judged.sequence,
        key=judged.key,
        status=VerdictStatus(judged.status),
        final=judged.final,
        rule=judged.rule,
        path=judged.path,
        message=finding.message,
        mend=finding.mend,
        judged_at=judged.judged_at,
    )


def _event_headers(judged: Judged) -> Headers:
    headers = _headers(judged, judged.event_type or "", judged.event_id or "")
    if judged.occurred_at is not None:
        headers.append(("ce_time", judged.occurred_at.isoformat(timespec="milliseconds").encode()))
    if judged.sequence is not None:
        headers.append(("ce_sequence", str(judged.sequence).encode()))
    if (shown_from := judged.params.get(SHOWN_FROM)) is not None:
        headers.append((SHOWN_FROM_HEADER, shown_from.encode()))
    if judged.event_id is not None:
        headers.append(("traceparent", traceparent(judged.event_id, RELAY).encode()))
    return headers


def _headers(judged: Judged, event_type: str, event_id: str) -> Headers:
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", event_id.encode()),
        ("ce_source", f"/{judged.agency}/{judged.portal or ''}".encode()),
        ("ce_type", f"{NAMESPACE}.{event_type}".encode()),
        ("content-type", b"application/avro"),
        (POSITION_HEADER, str(judged.position).encode()),
    ]
