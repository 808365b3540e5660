"""Accepted events in ledger order, as the public may see them: of a feedback never its text, never who wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

from psycopg import Connection as SyncConnection
from psycopg.rows import class_row

from portalbus.schemas.topics import CANONICAL
from portalbus.streams.reading.directives import EXCERPT_CHARACTERS, DirectiveRow
from portalbus.streams.reading.pool import Connection
from portalbus.streams.reading.shown import HIDDEN


@dataclass(frozen=True, slots=True)
class AcceptedRow:
    """One accepted event. `said` is what it says, by the names of the contract, as JSON: without a directive's body,
    a case's number, texts and codes, or an answer that is not public. `concerned` are the agencies it concerns.

    `withheld`: an answer that the centre may still return, or has returned; of it only that it was given is here."""

    position: int
    event_id: str
    event_type: str
    agency: str
    portal: str
    key: str
    occurred_at: datetime | None
    received_at: datetime
    language: str | None
    concerned: list[str]
    said: dict[str, Any]
    withheld: bool = False


ACCEPTED: LiteralString = f"""
select j.position, e.event_id::text, e.event_type, e.agency, coalesce(e.portal, '') as portal, e.key, e.occurred_at,
    e.received_at, v.document->>'language' as language,
    case e.event_type
        when 'FeedbackReceived' then array[e.agency, coalesce(c.addressed_to, c.owner)]
        when 'FeedbackResolved' then array[e.agency, c.receiver]
        when 'FeedbackProgressed' then array_remove(array[e.agency, c.receiver, s.document->>'to_agency'], null)
        else array[e.agency] end as concerned,
    case e.event_type
        when 'DirectivePublished' then v.document - 'body'
        when 'FeedbackReceived' then jsonb_build_object('regime', c.regime, 'category', c.category,
            'channel', c.channel, 'urgency', c.urgency, 'received_at', c.received_at,
            'addressed_to', coalesce(c.addressed_to, c.owner))
        when 'FeedbackProgressed' then s.document - 'reason'
        else jsonb_build_object('regime', c.regime, 'category', c.category, 'outcome', told.outcome,
            'reason_code', told.reason_code, 'legal_basis', told.legal_basis,
            'competent_agency', told.competent_agency, 'answered_at', c.answered_at, 'public', c.answer_public,
            'answer', case when c.answer_public then told.answer end,
            'reason_text', case when c.answer_public then told.reason_text end) end as said,
    e.event_type = 'FeedbackResolved' and told.outcome is null as withheld
from ledger.judgement j join ledger.event e using (agency, lane_offset)
left join ledger.directive_version v
    on e.event_type = 'DirectivePublished' and v.key = e.key and v.lane_offset = e.lane_offset
left join ledger.case_step s
    on e.event_type = 'FeedbackProgressed' and s.case_id = e.key and s.position = e.position
left join ledger.case c on e.event_type like 'Feedback%%' and c.case_id = e.key
left join ledger.case told
    on e.event_type = 'FeedbackResolved' and told.case_id = c.case_id and not coalesce({HIDDEN}, false)
where j.status = 'ACCEPTED' and j.rule <> 'event.restored'
    and e.event_type = any(%(types)s) and (v.key is not null or c.case_id is not null)
"""


BETWEEN: LiteralString = f"{ACCEPTED} and j.position > %(after)s and j.position <= %(upto)s"


async def accepted_between(
    connection: Connection, after: int, upto: int, types: Sequence[str], *, limit: int
) -> tuple[AcceptedRow, ...]:
    """The events of these types accepted at a position in (after, upto], the oldest `limit` of them in order."""
    return await _rows(connection, f"{BETWEEN} order by j.position limit %(limit)s", after, upto, types, limit)


async def newest_accepted(
    connection: Connection, after: int, upto: int, types: Sequence[str], *, limit: int
) -> tuple[AcceptedRow, ...]:
    """The events of these types accepted at a position in (after, upto], the newest `limit` of them, newest first."""
    return await _rows(connection, f"{BETWEEN} order by j.position desc limit %(limit)s", after, upto, types, limit)


async def accepted_at(connection: Connection, positions: Sequence[int]) -> tuple[AcceptedRow, ...]:
    """The accepted answers at these positions, the newest first; those without one are left out."""
    async with connection.cursor(row_factory=class_row(AcceptedRow)) as cursor:
        await cursor.execute(
            f"{ACCEPTED} and j.position = any(%(positions)s) order by j.position desc",
            {"positions": list(positions), "types": ["FeedbackResolved"]},
        )
        return tuple(await cursor.fetchall())


def accepted_rows(connection: SyncConnection[Any], positions: Sequence[int]) -> tuple[AcceptedRow, ...]:
    """What was accepted at these positions; those at which nothing was are left out."""
    with connection.cursor(row_factory=class_row(AcceptedRow)) as cursor:
        cursor.execute(
            f"{ACCEPTED} and j.position = any(%(positions)s)", {"positions": list(positions), "types": list(CANONICAL)}
        )
        return tuple(cursor.fetchall())


async def _rows(
    connection: Connection, query: LiteralString, after: int, upto: int, types: Sequence[str], limit: int
) -> tuple[AcceptedRow, ...]:
    async with connection.cursor(row_factory=class_row(AcceptedRow)) as cursor:
        await cursor.execute(query, {"after": after, "upto": upto, "types": list(types), "limit": limit})
        return tuple(await cursor.fetchall())


@dataclass(frozen=True, slots=True)
class DirectiveTexts:
    """What a feed says of a directive beside its row: the beginning of its text, and why it was withdrawn."""

    text: str
    body_format: str
    withdrawal_reason: str | None


async def directive_texts(connection: Connection, rows: Sequence[DirectiveRow]) -> dict[str, DirectiveTexts]:
    """The texts of these directives at their newest version, by key."""
    cursor = await connection.execute(
        "select wanted.key, coalesce(nullif(version.document->>'abstract', ''),"
        " left(version.document->>'body', %s)),"
        " case when version.document->>'abstract' > '' then 'TEXT' else version.document->>'body_format' end,"
        " version.document->>'withdrawal_reason'"
        " from unnest(%s::text[], %s::int[]) as wanted(key, version)"
        " join ledger.directive_version as version using (key, version)",
        (EXCERPT_CHARACTERS, [row.key for row in rows], [row.version for row in rows]),
    )
    return {key: DirectiveTexts(*texts) async for key, *texts in cursor}
