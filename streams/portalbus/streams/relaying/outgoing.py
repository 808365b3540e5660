"""The next judgements in ledger order, and the messages they become."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from portalbus.schemas.avro_files import NAMESPACE
from portalbus.schemas.codec import encode_record
from portalbus.schemas.findings import Finding
from portalbus.schemas.models import Verdict, VerdictStatus
from portalbus.schemas.topics import CANONICAL, lane_of, verdicts_of

NEXT = """
select j.position, j.agency, j.lane_offset, e.event_id::text, e.event_type, e.portal, e.epoch, e.sequence, e.key,
       j.status, j.final, j.rule, j.path, coalesce(j.params, '{}'::jsonb), j.judged_at, j.canonical, e.occurred_at
from ledger.judgement j join ledger.event e using (agency, lane_offset)
where j.position > %s order by j.position limit %s"""

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
class Message:
    """One message to a topic."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers


def next_judgements(connection: Connection[Any], after: int, limit: int) -> list[Judged]:
    """The judgements after a position, in ledger order."""
    return [Judged(*row) for row in connection.execute(NEXT, (after, limit))]


def messages_of(judged: Judged, verdict_schema: int) -> Iterator[Message]:
    """The verdict, and for an accepted event the event itself, with the very bytes the portal sent."""
    if judged.canonical is not None and judged.event_type in CANONICAL:
        yield Message(
            CANONICAL[judged.event_type], (judged.key or "").encode(), judged.canonical, _event_headers(judged)
        )
    verdict = verdict_of(judged)
    key = judged.event_id or f"{verdict.lane}@{judged.lane_offset}"
    yield Message(
        verdicts_of(judged.agency),
        key.encode(),
        encode_record(verdict, "Verdict", verdict_schema),
        _headers(judged, "Verdict", key),
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
    return headers


def _headers(judged: Judged, event_type: str, event_id: str) -> Headers:
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", event_id.encode()),
        ("ce_source", f"/{judged.agency}/{judged.portal or ''}".encode()),
        ("ce_type", f"{NAMESPACE}.{event_type}".encode()),
        ("content-type", b"application/avro"),
        ("portalbus-position", str(judged.position).encode()),
    ]
