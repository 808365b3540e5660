"""Healing the ledger's own list of events: a decision that is not the judgement's, an identity that is not the event's,
an event that nobody sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, LiteralString

from psycopg import Connection

from portalbus.schemas.codec import Decoded, WriterSchemas, read
from portalbus.schemas.errors import UndecodableRecord
from portalbus.streams.reconciling.refolding import quarantine
from portalbus.streams.reconciling.repairs import Repair

AS_JUDGED: LiteralString = """
update ledger.event e set status = j.status, final = j.final, rule = j.rule from ledger.judgement j
where j.position = e.position and j.agency = e.agency and j.lane_offset = e.lane_offset
  and e.agency = %s and e.event_id = %s"""
PRESENT: LiteralString = """
select r.id, e.key from ledger.repair r join ledger.event e
  on e.agency = r.agency and e.event_id = r.event_id and e.content_hash = r.content_hash
     and (r.epoch is null or e.epoch = r.epoch)
where r.id = any(%s)"""
BYTES: LiteralString = """
select e.lane_offset, j.canonical, r.value from ledger.repair r
join ledger.event e on e.agency = r.agency and e.event_id = r.event_id and e.claims_id
left join ledger.judgement j on j.position = e.position and j.agency = e.agency and j.lane_offset = e.lane_offset
where r.id = %s"""
IDENTIFY: LiteralString = """
update ledger.event set event_type = %s, portal = %s, epoch = %s, sequence = %s, key = %s, content_hash = %s,
       occurred_at = %s, published_at = %s
where agency = %s and lane_offset = %s"""
PLACE: LiteralString = "select lane_offset, key from ledger.event where agency = %s and event_id = %s and claims_id"
EVIDENCE: LiteralString = """
select 'event', agency, key, to_jsonb(e) from ledger.event e where agency = %(agency)s and lane_offset = %(offset)s
union all
select 'judgement', agency, null, to_jsonb(j) from ledger.judgement j
where agency = %(agency)s and lane_offset = %(offset)s"""
REMOVE: tuple[LiteralString, ...] = (
    "delete from ledger.event where agency = %(agency)s and lane_offset = %(offset)s",
    "delete from ledger.judgement where agency = %(agency)s and lane_offset = %(offset)s",
)


def restore_status(connection: Connection[Any], repairs: Sequence[Repair]) -> set[str]:
    """Lists events as they were judged; returns the keys whose rows follow from that."""
    for repair in repairs:
        connection.execute(AS_JUDGED, (repair.agency, repair.event_id))
    return {repair.key for repair in repairs if repair.key}


def arrived(connection: Connection[Any], repairs: Sequence[Repair]) -> dict[int, str | None]:
    """Which of these events the ledger lists as their source does: the keys by repair."""
    return dict(connection.execute(PRESENT, ([repair.id for repair in repairs],)).fetchall())


def restore_identity(connection: Connection[Any], repair: Repair, writers: WriterSchemas) -> str | None:
    """Lists an event by what its bytes say, once there are bytes with the hash that its source states; its key."""
    row = connection.execute(BYTES, (repair.id,)).fetchone()
    if row is None:
        return None
    lane_offset, *copies = row
    for copy in copies:
        found = _decoded(copy, writers)
        if found is None or found.event.envelope.id != repair.event_id or found.content_hash != repair.content_hash:
            continue
        event = found.event
        said = event.envelope
        connection.execute(
            IDENTIFY,
            (
                event.payload.event_type,
                said.portal,
                said.epoch,
                said.sequence,
                event.key,
                found.content_hash,
                said.occurred_at,
                said.published_at,
                repair.agency,
                lane_offset,
            ),
        )
        return event.key
    return None


def place_of(connection: Connection[Any], repair: Repair) -> int | None:
    """The lane offset under which an event is listed."""
    row = connection.execute(PLACE, (repair.agency, repair.event_id)).fetchone()
    return None if row is None else int(row[0])


def remove_event(connection: Connection[Any], repair: Repair, lane_offset: int, now: datetime) -> None:
    """Takes an event that nobody sent off the list, and its judgements with it; both are kept as evidence."""
    where = {"agency": repair.agency, "offset": lane_offset}
    quarantine(connection, connection.execute(EVIDENCE, where).fetchall(), now)
    for statement in REMOVE:
        connection.execute(statement, where)


def _decoded(value: bytes | None, writers: WriterSchemas) -> Decoded | None:
    if value is None:
        return None
    try:
        found = read(bytes(value), writers)
    except UndecodableRecord:
        return None
    return found if isinstance(found, Decoded) else None
