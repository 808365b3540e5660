"""The accepted events of cases, from the ledger, in its order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from psycopg import Connection

from portalbus.schemas.codec import WriterSchemas, decode
from portalbus.schemas.errors import UndecodableRecord
from portalbus.schemas.models import Event

log = structlog.get_logger(__name__)

EVENTS = """
select j.position, e.key, e.event_id::text, e.received_at, j.canonical
from ledger.judgement j join ledger.event e using (agency, lane_offset)
where j.position > %(after)s and j.position <= %(upto)s and j.status = 'ACCEPTED' and e.event_type like 'Feedback%%'
  and j.canonical is not null
order by j.position"""

URGENT_CASES = """
select case_id, position from ledger.case
where urgent and position > %(after)s and position <= %(upto)s order by position limit %(limit)s"""
OF_CASES = """
select j.position, e.key, e.event_id::text, e.received_at, j.canonical
from ledger.event e join ledger.judgement j using (position)
left join casework.case w on w.case_id = e.key
where e.key = any(%(cases)s) and e.status = 'ACCEPTED' and e.event_type like 'Feedback%%'
  and e.position > coalesce(w.position, 0) and e.position <= %(upto)s and j.canonical is not null
order by e.position"""


@dataclass(frozen=True, slots=True)
class CaseEvent:
    """One accepted event of a case; `heard` is lane time."""

    position: int
    case_id: str
    event_id: str
    heard: datetime
    event: Event


def events_between(connection: Connection[Any], after: int, upto: int, writers: WriterSchemas) -> Iterator[CaseEvent]:
    """The events of cases that were accepted at a position in (after, upto], in order."""
    return _decoded(connection.execute(EVENTS, {"after": after, "upto": upto}), writers)


def urgent_cases(connection: Connection[Any], after: int, upto: int, limit: int) -> tuple[list[str], int]:
    """The urgent cases whose last event lies behind a position, the first of them, and up to where these are all."""
    given = {"after": after, "upto": upto, "limit": limit}
    found = connection.execute(URGENT_CASES, given).fetchall()
    return [case_id for case_id, _ in found], (found[-1][1] if len(found) == limit else upto)


def unfolded_events(
    connection: Connection[Any], case_ids: list[str], upto: int, writers: WriterSchemas
) -> Iterator[CaseEvent]:
    """What was accepted of these cases up to a position and is not folded yet, in order."""
    return _decoded(connection.execute(OF_CASES, {"cases": case_ids, "upto": upto}), writers)


def _decoded(rows: Iterable[tuple[Any, ...]], writers: WriterSchemas) -> Iterator[CaseEvent]:
    for position, case_id, event_id, heard, value in rows:
        try:
            event = decode(bytes(value), writers)
        except (
            UndecodableRecord
        ) as error:  # it was accepted once: a deployment without its schema must not pass over it
            log.error("casework.unreadable", position=position, rule=error.rule)
            raise
        if isinstance(event, Event):
            yield CaseEvent(position, case_id, event_id, heard, event)
