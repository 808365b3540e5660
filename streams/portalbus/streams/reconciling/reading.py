"""Reads what is to be compared: statements, digests, accepted events beside their rows, rows beside no event.

Every query is one statement, and so sees one moment: the worker writes an event and its row in one transaction.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, LiteralString

from psycopg import Connection
from psycopg.rows import dict_row

from portalbus.schemas.codec import WriterSchemas
from portalbus.streams.reconciling.comparing import KnownEvent, Row, answer_row, directive_row, receipt_row, step_row
from portalbus.streams.reconciling.difference import Difference, Kind, Place
from portalbus.streams.reconciling.digests import BucketName, Stated
from portalbus.streams.reconciling.refolding import payload_in

ROWS_AT_ONCE = 25
"""A directive may have 256 KiB, and takes several times as much while it is compared: few at a time."""

DAY: LiteralString = "(e.published_at at time zone 'UTC')::date"
IDENTITY: LiteralString = f"""
e.agency, e.portal, e.epoch, e.event_type, {DAY} as day, e.sequence, e.event_id::text as event_id, e.content_hash,
e.key, e.lane_offset, e.received_at, e.position"""
IN_SCOPE: LiteralString = """
(%(agencies)s::text[] is null or e.agency = any(%(agencies)s))
and (%(since)s::date is null or e.published_at >= %(since)s::date)"""
LISTED: LiteralString = """
e.event_id is not null and e.content_hash is not null and e.epoch is not null and e.rule <> 'lane.agency-mismatch'"""

STATED: LiteralString = """
select e.agency, e.portal, e.epoch, e.event_type, e.day, e.count, e.digest, e.delivered_sequence, e.explained
from ledger.manifest_bucket e
where (%(agencies)s::text[] is null or e.agency = any(%(agencies)s))
  and (%(since)s::date is null or e.day >= %(since)s::date)"""

# The digest of schemas/digest.py, in the database: XOR over SHA-256 of id and content hash. An event that came twice
# counts once.
DIGESTS: LiteralString = f"""
with known as (
    select distinct e.agency, e.portal, e.epoch, e.event_type, {DAY} as day, e.sequence, e.event_id, e.content_hash
    from ledger.event e where {LISTED} and {IN_SCOPE})
select agency, portal, epoch, event_type, day,
       bit_xor(('x' || encode(sha256(uuid_send(event_id) || content_hash), 'hex'))::bit(256))::text
from known join ledger.manifest_bucket b using (agency, portal, epoch, event_type, day)
where sequence <= b.delivered_sequence
group by agency, portal, epoch, event_type, day"""

DIRECTIVES: LiteralString = f"""
select {IDENTITY}, v.version as row_version, v.action as row_action, v.lane_offset as row_offset,
       v.received_at as row_received, v.position as row_position, v.document::text as document,
       v.document->>'version' as said_version, v.document->>'action' as said_action
from ledger.event e left join lateral (
    select * from ledger.directive_version where key = e.key and event_id = e.event_id order by version limit 1
) v on true
where e.event_type = 'DirectivePublished' and e.status = 'ACCEPTED' and {IN_SCOPE}"""

# An answer is no more shown once it was returned, or another one took its place.
SUPERSEDED: LiteralString = """(
    exists (select from ledger.case_step s
            where s.case_id = e.key and s.position > e.position and s.step = 'ANSWER_RETURNED')
    or exists (select from ledger.event later where later.key = e.key and later.event_type = 'FeedbackResolved'
               and later.status = 'ACCEPTED' and later.position > e.position))"""
CASES: LiteralString = f"""
select {IDENTITY}, c.case_id, c.public_code, c.receiver, c.owner, c.addressed_to, c.steps, c.regime, c.category,
       c.channel, c.field, c.area, c.urgency, c.subject, c.content, c.language, c.pseudonym, c.diverted,
       c.received_at as row_received, c.state, c.stage, c.outcome, c.reason_code, c.reason_text, c.legal_basis,
       c.competent_agency, c.answer, c.answer_language, c.answer_public, c.answered_by, c.answered_at,
       c.answer_heard_at, c.position as row_position,
       case when c.stage = 'DIVERTED' and e.event_type = 'FeedbackReceived' then (
           select j.canonical from ledger.judgement j
           where j.position = e.position and j.agency = e.agency and j.lane_offset = e.lane_offset) end as canonical
from ledger.event e left join ledger.case c on c.case_id = e.key
where e.event_type in ('FeedbackReceived', 'FeedbackResolved') and e.status = 'ACCEPTED' and {IN_SCOPE}
  and not (e.event_type = 'FeedbackResolved' and coalesce(c.steps, 0) > 0 and {SUPERSEDED})"""

STEPS: LiteralString = f"""
select {IDENTITY}, s.case_id, s.agency as row_agency, s.lane_offset as row_offset, s.received_at as row_received,
       s.position as row_position, s.step, s.document->>'step' as said_step, s.document
from ledger.event e left join lateral (
    select * from ledger.case_step where case_id = e.key and event_id = e.event_id order by position limit 1
) s on true
where e.event_type = 'FeedbackProgressed' and e.status = 'ACCEPTED' and {IN_SCOPE}"""
UNKNOWN_STEPS: LiteralString = """
select s.agency, s.case_id, s.event_id::text
from ledger.case_step s left join ledger.event e
  on e.agency = s.agency and e.event_id = s.event_id and e.claims_id and e.key = s.case_id
     and e.event_type = 'FeedbackProgressed' and e.status = 'ACCEPTED'
where (e.event_id is null or exists (select from ledger.case_step o
           where o.case_id = s.case_id and o.event_id = s.event_id and o.position < s.position))
  and (%(agencies)s::text[] is null or s.agency = any(%(agencies)s))
  and (%(since)s::date is null or s.received_at >= %(since)s::date)"""

UNKNOWN_VERSIONS: LiteralString = """
select split_part(v.key, '/', 1), v.key, v.version, v.event_id::text
from ledger.directive_version v left join ledger.event e
  on e.agency = split_part(v.key, '/', 1) and e.event_id = v.event_id and e.claims_id and e.key = v.key
     and e.event_type = 'DirectivePublished' and e.status = 'ACCEPTED'
where (e.event_id is null or exists (select from ledger.directive_version o
           where o.key = v.key and o.event_id = v.event_id and o.version < v.version))
  and (%(agencies)s::text[] is null or split_part(v.key, '/', 1) = any(%(agencies)s))
  and (%(since)s::date is null or v.received_at >= %(since)s::date)"""
UNKNOWN_CASES: LiteralString = """
select c.receiver, c.case_id, c.state = 'RESOLVED' and answered.key is null, received.key is null
from ledger.case c
left join ledger.event received
  on received.key = c.case_id and received.event_type = 'FeedbackReceived' and received.status = 'ACCEPTED'
left join ledger.event answered
  on answered.key = c.case_id and answered.event_type = 'FeedbackResolved' and answered.status = 'ACCEPTED'
where (received.key is null or (c.state = 'RESOLVED' and answered.key is null))
  and (%(agencies)s::text[] is null or c.receiver = any(%(agencies)s))"""

# What people find is derived from the newest version: the columns, in pairs of what is and what should be.
DERIVED: LiteralString = """
with newest as (
    select distinct on (key) key, version, action = 'WITHDRAW' as withdrawn, received_at, position, document
    from ledger.directive_version order by key, version desc
), compared as (
    select coalesce(d.key, n.key) as key, d.key is null as missing, n.key is null as unknown,
           array_remove(array[
               case when d.agency is distinct from split_part(d.key, '/', 1) then 'agency' end,
               case when d.directive_id is distinct from n.document->>'directive_id' then 'directive_id' end,
               case when d.version is distinct from n.version then 'version' end,
               case when d.withdrawn is distinct from n.withdrawn then 'withdrawn' end,
               case when d.number is distinct from n.document->>'number' then 'number' end,
               case when d.document_type is distinct from n.document->>'document_type' then 'document_type' end,
               case when d.title is distinct from n.document->>'title' then 'title' end,
               case when d.language is distinct from n.document->>'language' then 'language' end,
               case when d.field is distinct from n.document->>'field' then 'field' end,
               case when d.issued_on::text is distinct from n.document->>'issued_on' then 'issued_on' end,
               case when d.published_at is distinct from first.received_at then 'published_at' end,
               case when d.changed_at is distinct from n.received_at then 'changed_at' end,
               case when d.position is distinct from n.position then 'position' end
           ], null) as columns
    from ledger.directive d full join newest n using (key)
    left join ledger.directive_version first on first.key = n.key and first.version = 1
)
select split_part(key, '/', 1), key, missing, unknown, columns from compared
where (missing or unknown or cardinality(columns) > 0)
  and (%(agencies)s::text[] is null or split_part(key, '/', 1) = any(%(agencies)s))"""

# The judgement is what the portal was told; the event's status is a copy of it.
MISJUDGED: LiteralString = f"""
select {IDENTITY} from ledger.event e join ledger.judgement j
  on j.position = e.position and j.agency = e.agency and j.lane_offset = e.lane_offset
where (e.status, e.final, e.rule) is distinct from (j.status, j.final, j.rule) and {IN_SCOPE}"""

BEYOND: LiteralString = f"""
select {IDENTITY} from ledger.event e left join ledger.lane l using (agency)
where (l.agency is null or e.lane_offset >= l.next_offset or e.lane_offset < 0) and e.event_id is not null
  and {IN_SCOPE}"""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which agencies (all, for None), and events published since which day (ever, for None).

    What directives are found by takes ten times as long to compare as all else: `slice` is which 24th of them is
    (all, for None).
    """

    agencies: tuple[str, ...] | None = None
    since: date | None = None
    slice: int | None = None

    def parameters(self) -> dict[str, Any]:
        """For the queries of this module."""
        agencies = list(self.agencies) if self.agencies else None
        return {"agencies": agencies, "since": self.since, "slice": self.slice}


def read_stated(connection: Connection[Any], scope: Scope) -> dict[BucketName, Stated]:
    """What the sources have stated last about their buckets."""
    rows = connection.execute(STATED, scope.parameters())
    return {BucketName(*row[:5]): Stated(*row[5:]) for row in rows}


def read_digests(connection: Connection[Any], scope: Scope) -> dict[BucketName, bytes]:
    """The digests of what the ledger lists of these buckets, each up to the event that its statement covers."""
    rows = connection.execute(DIGESTS, scope.parameters())
    return {BucketName(*row[:5]): int(row[5], 2).to_bytes(32, "big") for row in rows}


def read_accepted(
    connection: Connection[Any], scope: Scope, rest: Callable[[], None], writers: WriterSchemas
) -> Iterator[tuple[KnownEvent, Place, Row | None]]:
    """Every accepted event of what people see, with its row. `rest` is called now and then, to let others work.

    `writers` read what the receipt of a case said whose text was taken out of its row.
    """
    for columns in _streamed(connection, DIRECTIVES, scope, rest):
        event = _known(columns)
        yield event, Place.VERSION, directive_row(event, _version_columns(columns)) if columns["document"] else None
    for columns in _streamed(connection, CASES, scope, rest):
        event = _known(columns)
        columns |= {"received_at": columns["row_received"], "position": columns["row_position"]}
        if event.event_type == "FeedbackReceived":
            said = payload_in(columns["canonical"], event.event_id, event.content_hash, writers)
            yield event, Place.CASE, receipt_row(event, columns, said) if columns["case_id"] else None
        else:
            yield event, Place.ANSWER, answer_row(event, columns) if _has_answer(columns) else None
    for columns in _streamed(connection, STEPS, scope, rest):
        event = _known(columns)
        yield event, Place.STEP, step_row(event, columns) if columns["case_id"] else None


def _has_answer(columns: Mapping[str, Any]) -> bool:
    """True when the row holds an answer; a case that was opened again keeps the one that it had."""
    return columns["state"] == "RESOLVED" or bool(columns["steps"] and columns["answered_by"])


def read_unknown(connection: Connection[Any], scope: Scope) -> Iterator[Difference]:
    """Rows that no accepted event stands behind."""
    for agency, key, version, event_id in connection.execute(UNKNOWN_VERSIONS, scope.parameters()):
        yield Difference(Kind.UNKNOWN, Place.VERSION, agency, event_id=event_id, key=key, version=version)
    for agency, key, event_id in connection.execute(UNKNOWN_STEPS, scope.parameters()):
        yield Difference(Kind.UNKNOWN, Place.STEP, agency, event_id=event_id, key=key)
    if scope.since is None:
        for agency, key, answer, case in connection.execute(UNKNOWN_CASES, scope.parameters()):
            if case:
                yield Difference(Kind.UNKNOWN, Place.CASE, agency, key=key)
            if answer:
                yield Difference(Kind.UNKNOWN, Place.ANSWER, agency, key=key)


def read_derived(connection: Connection[Any], scope: Scope) -> Iterator[Difference]:
    """Directives that are not as their versions say."""
    for agency, key, missing, unknown, columns in connection.execute(DERIVED, scope.parameters()):
        kind = Kind.MISSING if missing else Kind.UNKNOWN if unknown else Kind.ALTERED
        altered = tuple(columns) if kind is Kind.ALTERED else ()
        yield Difference(kind, Place.DIRECTIVE, agency, key=key, columns=altered)


def read_misjudged(connection: Connection[Any], scope: Scope) -> Iterator[Difference]:
    """Events that the ledger lists with another decision than was judged."""
    for row in connection.execute(MISJUDGED, scope.parameters()):
        yield _of_event(Kind.ALTERED, KnownEvent(*row), ("status",))


def read_beyond(connection: Connection[Any], scope: Scope) -> Iterator[Difference]:
    """Events that the ledger lists where their lane has not been read yet."""
    for row in connection.execute(BEYOND, scope.parameters()):
        yield _of_event(Kind.UNKNOWN, KnownEvent(*row), ())


def _of_event(kind: Kind, event: KnownEvent, columns: tuple[str, ...]) -> Difference:
    return Difference(
        kind,
        Place.EVENT,
        event.agency,
        event.portal,
        event.epoch,
        event.sequence,
        event.event_id,
        event.content_hash,
        event.key,
        columns=columns,
    )


def _streamed(
    connection: Connection[Any], sql: LiteralString, scope: Scope, rest: Callable[[], None]
) -> Iterator[dict[str, Any]]:
    with connection.cursor(f"reconcile_{secrets.token_hex(4)}", row_factory=dict_row) as cursor:
        cursor.execute(sql, scope.parameters())
        while rows := cursor.fetchmany(ROWS_AT_ONCE):
            yield from rows
            rest()


def _known(columns: dict[str, Any]) -> KnownEvent:
    return KnownEvent(*(columns[name] for name in KnownEvent._fields))


def _version_columns(columns: dict[str, Any]) -> dict[str, Any]:
    return {
        "document": columns["document"],
        "lane_offset": columns["row_offset"],
        "received_at": columns["row_received"],
        "position": columns["row_position"],
        "version": str(columns["row_version"]),
        "said_version": columns["said_version"],
        "action": columns["row_action"],
        "said_action": columns["said_action"],
    }
