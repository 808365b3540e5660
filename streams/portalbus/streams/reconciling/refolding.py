"""Healing a directive or a case: its accepted events are folded again, by the code that folded them the first time.

Whatever stood there otherwise goes into quarantine. An event's content comes from the judgement that accepted it, from
what its source has sent again, or from a row that still says it: whichever has the content hash of the event.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, LiteralString

from psycopg import Connection
from pydantic import ValidationError

from portalbus.schemas.codec import Decoded, WriterSchemas, encode_payload, read
from portalbus.schemas.errors import UndecodableRecord
from portalbus.schemas.models import DirectivePublished, Envelope, Event, FeedbackReceived, Payload
from portalbus.streams.judgement.history import History
from portalbus.streams.ledger.writing import write_aggregates

ACCEPTED: LiteralString = """
select e.agency, e.lane_offset, e.event_id::text, e.key, e.event_type, e.content_hash, e.received_at, e.position,
       e.portal, e.epoch, e.sequence, e.occurred_at, e.published_at, j.canonical,
       (select r.value from ledger.repair r where r.agency = e.agency and r.event_id = e.event_id
            and r.healed_at is null and r.value is not null limit 1),
       (select v.document::text from ledger.directive_version v where v.key = e.key and v.event_id = e.event_id limit 1)
from ledger.event e left join ledger.judgement j
  on j.position = e.position and j.agency = e.agency and j.lane_offset = e.lane_offset
where e.key = any(%s) and e.status = 'ACCEPTED'
  and e.event_type in ('DirectivePublished', 'FeedbackReceived', 'FeedbackResolved', 'FeedbackProgressed')
order by e.position"""

ROWS: LiteralString = """
select 'directive_version', key, to_jsonb(v) from ledger.directive_version v where key = any(%(keys)s)
union all select 'directive', key, to_jsonb(d) from ledger.directive d where key = any(%(keys)s)
union all select 'case_step', case_id, to_jsonb(s) from ledger.case_step s where case_id = any(%(keys)s)
union all select 'case', case_id, to_jsonb(c) from ledger.case c
          where case_id = any(%(keys)s) or public_code = any(%(codes)s)"""
DELETE: tuple[LiteralString, ...] = (
    "delete from ledger.directive_version where key = any(%(keys)s)",
    "delete from ledger.directive where key = any(%(keys)s)",
    "delete from ledger.case_step where case_id = any(%(keys)s)",
    "delete from ledger.case where case_id = any(%(keys)s) or public_code = any(%(codes)s)",
)
QUARANTINE: LiteralString = """
insert into ledger.quarantine (place, agency, key, content, quarantined_at)
select place, agency, key, content, %(now)s
from json_to_recordset(%(rows)s) as row (place text, agency text, key text, content jsonb)"""


@dataclass(slots=True)
class Refolded:
    """What came of it: the keys that are right now; the events whose content nobody here has, by key; the events that
    took what their source sent again; and the directives that turned out to be withdrawn.
    """

    keys: set[str] = field(default_factory=set)
    lacking: dict[str, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    from_source: set[tuple[str, str]] = field(default_factory=set)
    withdrawn: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Fold:
    """An accepted event with its content."""

    event: Event
    lane_offset: int
    received_at: datetime
    position: int


def refold(connection: Connection[Any], keys: Iterable[str], writers: WriterSchemas, now: datetime) -> Refolded:
    """Writes these directives and cases anew from their events, where all of them are at hand.

    In the open transaction, with the ledger's order taken: nobody may judge meanwhile.
    """
    wanted = sorted(set(keys))
    refolded = Refolded()
    folds: dict[str, list[_Fold]] = {key: [] for key in wanted}
    for row in connection.execute(ACCEPTED, (wanted,)):
        _collect(row, writers, folds, refolded)
    whole = [key for key in wanted if key not in refolded.lacking]
    history = History()
    for fold in sorted((fold for key in whole for fold in folds[key]), key=_order):
        if _is_answer_to_nothing(fold, history):
            refolded.lacking[fold.event.key].add((fold.event.envelope.agency, fold.event.envelope.id))
        else:
            history.accept(fold.event, fold.lane_offset, fold.received_at, fold.position)
    refolded.keys = {key for key in whole if key not in refolded.lacking}
    _replace_rows(connection, refolded, history, now)
    return refolded


def quarantine(connection: Connection[Any], rows: Iterable[tuple[str, str, str | None, Any]], now: datetime) -> None:
    """Keeps rows (place, agency, key, content) as evidence."""
    kept = [{"place": place, "agency": agency, "key": key, "content": content} for place, agency, key, content in rows]
    if kept:
        connection.execute(QUARANTINE, {"rows": json.dumps(kept, default=str), "now": now})


def _collect(row: Sequence[Any], writers: WriterSchemas, folds: Mapping[str, list[_Fold]], refolded: Refolded) -> None:
    (agency, lane_offset, event_id, key, event_type, content_hash, received_at, position, *rest) = row
    portal, epoch, sequence, occurred_at, published_at, canonical, value, document = rest
    payload = payload_in(canonical, event_id, content_hash, writers)
    if payload is None and (payload := payload_in(value, event_id, content_hash, writers)) is not None:
        refolded.from_source.add((agency, event_id))
    if payload is None and event_type == DirectivePublished.event_type:
        payload = _payload_of_row(document, content_hash)
    if payload is None:
        refolded.lacking[key].add((agency, event_id))
        return
    envelope = Envelope.model_construct(
        id=event_id,
        agency=agency,
        portal=portal,
        epoch=epoch,
        sequence=sequence,
        occurred_at=occurred_at,
        published_at=published_at,
    )
    folds[key].append(_Fold(Event(envelope, payload), lane_offset, received_at, position))


def payload_in(value: bytes | None, event_id: str, content_hash: bytes, writers: WriterSchemas) -> Payload | None:
    """What an event says, when these bytes are that event."""
    if value is None:
        return None
    try:
        found = read(bytes(value), writers)
    except UndecodableRecord:
        return None
    if not isinstance(found, Decoded) or found.content_hash != content_hash or found.event.envelope.id != event_id:
        return None
    return found.event.payload


def _payload_of_row(document: str | None, content_hash: bytes) -> DirectivePublished | None:
    """What a row says, when it says what the event said."""
    try:
        found = DirectivePublished.model_validate_json(document or "")
    except ValidationError:
        return None
    return found if hashlib.sha256(encode_payload(found)).digest() == content_hash else None


def _order(fold: _Fold) -> tuple[int, int]:
    """Versions one after the other, an answer after its receipt; an event that was restored has a late position."""
    payload = fold.event.payload
    if isinstance(payload, DirectivePublished):
        return payload.version, fold.position
    return 0 if isinstance(payload, FeedbackReceived) else 1, fold.position


def _is_answer_to_nothing(fold: _Fold, history: History) -> bool:
    """True for an answer to a case whose receipt is missing in the ledger's list."""
    payload = fold.event.payload
    if isinstance(payload, DirectivePublished | FeedbackReceived):
        return False
    return fold.event.key not in history.cases


def _replace_rows(connection: Connection[Any], refolded: Refolded, history: History, now: datetime) -> None:
    keys = sorted(refolded.keys)
    for key in [key for key in (*history.directives, *history.cases) if key not in refolded.keys]:
        history.directives.pop(key, None)
        history.cases.pop(key, None)
    codes = [case.opened.public_code for case in history.cases.values() if case.opened is not None]
    where = {"keys": keys, "codes": codes}
    before = connection.execute(ROWS, where).fetchall()
    for statement in DELETE:
        connection.execute(statement, where)
    write_aggregates(connection, history)
    after = {_frozen(row) for row in connection.execute(ROWS, where)}
    quarantine(
        connection,
        (
            (place, _agency(place, key, content), key, content)
            for place, key, content in before
            if _frozen((place, key, content)) not in after
        ),
        now,
    )
    shown = {key for place, key, content in before if place == "directive" and not content["withdrawn"]}
    refolded.withdrawn = {key for key in shown if key in history.directives and history.directives[key].withdrawn}


def _frozen(row: Sequence[Any]) -> str:
    return json.dumps(row, sort_keys=True, default=str)


def _agency(place: str, key: str, content: Mapping[str, Any]) -> str:
    if place == "case":
        return str(content["receiver"])
    return str(content["agency"]) if place == "case_step" else key.partition("/")[0]
