"""Writes what a docket decided: the events, the judgements, and what changed in each state."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import chain
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from portalbus.schemas.search_text import fold
from portalbus.streams.judgement.docket import Docket, Entry
from portalbus.streams.judgement.history import AddedVersion, DirectiveState, History, SourceState
from portalbus.streams.judgement.parked import Claim
from portalbus.streams.ledger.case_rows import CASE, case_row, update_cases, write_steps
from portalbus.streams.ledger.gap_rows import write_gaps
from portalbus.streams.ledger.notices import write_placed
from portalbus.streams.ledger.statement_rows import write_statements
from portalbus.streams.ledger.tables import Table, many

NO_CLAIM = Claim()

JudgedAt = Callable[[int], datetime]
"""When what stands at a position was judged."""

FEW = 64
"""Up to so many events, round trips cost more than statements."""


EVENT = Table(
    "ledger.event",
    "agency text, lane_offset int8, event_id uuid, claims_id bool, event_type text, portal text, epoch int4,"
    " sequence int8, key text, content_hash bytea, occurred_at timestamptz, published_at timestamptz,"
    " received_at timestamptz, judged_at timestamptz, position int8, status text, final bool, rule text",
)
JUDGEMENT = Table(
    "ledger.judgement",
    "position int8, agency text, lane_offset int8, status text, final bool, rule text, path text, params jsonb,"
    " judged_at timestamptz, canonical bytea",
)


@contextmanager
def writing(connection: Connection[Any], docket: Docket, when: datetime | JudgedAt) -> Iterator[None]:
    """Writes everything a docket decided, in the connection's open transaction.

    What the caller executes inside goes along in the last round trip; for a small docket that is the only one.
    """
    judged_at = _judged_at(when)
    history = docket.history
    bulk = (
        (EVENT, (_event_row(entry, judged_at) for entry in docket.entries if entry.fresh)),
        (JUDGEMENT, (_judgement_row(entry, judged_at) for entry in docket.entries)),
        (CASE, (case_row(case) for case in history.cases.values() if case.opened is not None)),
    )
    few = len(docket.entries) <= FEW
    if not few:
        for table, rows in bulk:
            table.copy(connection, rows)
    with connection.pipeline():
        if few:
            for table, rows in bulk:
                table.insert(connection, rows)
        _replace_open_events(connection, docket.entries, judged_at)
        _identify_redriven(connection, docket.entries)
        _write_sources(connection, history)
        _write_canaries(connection, history)
        update_cases(connection, history)
        _write_directives(connection, history)
        _write_waiting(connection, history)
        _write_parked(connection, docket, judged_at)
        write_statements(connection, history.reconciling)
        write_placed(connection, docket.notices, judged_at)
        yield


def write_aggregates(connection: Connection[Any], history: History) -> None:
    """Writes the directives and cases that a history brought, none of which may stand there yet."""
    with connection.pipeline():
        CASE.insert(connection, (case_row(case) for case in history.cases.values() if case.opened is not None))
        write_steps(connection, history)
        _write_directives(connection, history)


def _judged_at(when: datetime | JudgedAt) -> JudgedAt:
    return (lambda _: when) if isinstance(when, datetime) else when


def _event_row(entry: Entry, judged_at: JudgedAt) -> tuple[Any, ...]:
    return (
        entry.agency,
        entry.lane_offset,
        *_identity_columns(entry),
        entry.received_at,
        judged_at(entry.position),
        entry.position,
        *_verdict_columns(entry),
    )


def _identity_columns(entry: Entry) -> tuple[Any, ...]:
    """Who says it, and what about: from the envelope, or for an unreadable record as far as it says so beside it."""
    envelope = entry.envelope
    if envelope is not None:
        return (
            UUID(envelope.id),
            entry.claims_id,
            entry.event_type,
            envelope.portal,
            envelope.epoch,
            envelope.sequence,
            entry.key,
            entry.content_hash,
            envelope.occurred_at,
            envelope.published_at,
        )
    claim = entry.claim or NO_CLAIM
    event_id = UUID(claim.event_id) if claim.event_id else None
    return (event_id, False, claim.event_type, claim.portal, None, claim.sequence, claim.key, None, None, None)


def _judgement_row(entry: Entry, judged_at: JudgedAt) -> tuple[Any, ...]:
    decision = entry.decision
    params = {name: _storable(text) for name, text in decision.params.items()}
    return (
        entry.position,
        entry.agency,
        entry.lane_offset,
        *_verdict_columns(entry),
        decision.path,
        Jsonb(params) if params else None,
        judged_at(entry.position),
        entry.canonical,
    )


def _verdict_columns(entry: Entry) -> tuple[str, bool, str]:
    decision = entry.decision
    return decision.status.value, decision.final, decision.rule


def _replace_open_events(connection: Connection[Any], entries: list[Entry], judged_at: JudgedAt) -> None:
    rows = [
        (entry.position, *_verdict_columns(entry), judged_at(entry.position), entry.agency, entry.lane_offset)
        for entry in entries
        if not entry.fresh
    ]
    many(
        connection,
        "update ledger.event set position = %s, status = %s, final = %s, rule = %s, judged_at = %s"
        " where agency = %s and lane_offset = %s",
        rows,
    )


def _identify_redriven(connection: Connection[Any], entries: list[Entry]) -> None:
    """Writes who says it once that can be read."""
    many(
        connection,
        "update ledger.event set event_id = %s, claims_id = %s, event_type = %s, portal = %s, epoch = %s,"
        " sequence = %s, key = %s, content_hash = %s, occurred_at = %s, published_at = %s"
        " where agency = %s and lane_offset = %s",
        [(*_identity_columns(entry), entry.agency, entry.lane_offset) for entry in entries if entry.redriven],
    )


def _write_sources(connection: Connection[Any], history: History) -> None:
    sources = list(history.sources.values())
    many(
        connection,
        "insert into ledger.source (agency, portal, epoch, last_sequence, first_heard_at, last_heard_at,"
        " clock_offset_ms, held, held_bytes, clock_leads, manifest)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " on conflict (agency, portal) do update set epoch = excluded.epoch, last_sequence = excluded.last_sequence,"
        " last_heard_at = excluded.last_heard_at, clock_offset_ms = excluded.clock_offset_ms,"
        " held = excluded.held, held_bytes = excluded.held_bytes, clock_leads = excluded.clock_leads,"
        " manifest = coalesce(excluded.manifest, source.manifest)",
        [_source_row(source) for source in sources],
    )
    write_gaps(connection, sources)


def _write_canaries(connection: Connection[Any], history: History) -> None:
    many(
        connection,
        "insert into ledger.canary (agency, portal, heard_at, round_trip_ms, unreturned) values (%s, %s, %s, %s, %s)"
        " on conflict (agency, portal) do update set heard_at = excluded.heard_at,"
        " round_trip_ms = coalesce(excluded.round_trip_ms, canary.round_trip_ms), unreturned = excluded.unreturned",
        [
            (agency, portal, heard_at, canary.round_trip_ms, canary.unreturned)
            for (agency, portal), (canary, heard_at) in history.canaries.items()
        ],
    )


def _source_row(source: SourceState) -> tuple[Any, ...]:
    manifest = source.manifest.model_dump(mode="json", exclude={"buckets"}) if source.manifest else None
    if manifest:
        manifest["sdk"] = _storable(manifest["sdk"])  # the one free text in it
    return (
        source.agency,
        source.portal,
        source.epoch,
        source.last_sequence,
        source.first_heard_at,
        source.last_heard_at,
        source.clock_offset_ms,
        source.held,
        source.held_bytes,
        list(source.clock_leads),
        Jsonb(manifest) if manifest else None,
    )


def _write_directives(connection: Connection[Any], history: History) -> None:
    changed = [state for state in history.directives.values() if state.added]
    many(
        connection,
        "insert into ledger.directive_version (key, version, action, event_id, lane_offset, received_at, position,"
        " document) values (%s, %s, %s, %s, %s, %s, %s, %s)",
        [_version_row(state, version) for state in changed for version in state.added],
    )
    many(
        connection,
        "insert into ledger.directive (key, agency, directive_id, version, withdrawn, number, document_type, title,"
        " language, field, issued_on, published_at, changed_at, position, search)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, to_tsvector('simple', %s))"
        " on conflict (key) do update set version = excluded.version, withdrawn = excluded.withdrawn,"
        " number = excluded.number, document_type = excluded.document_type, title = excluded.title,"
        " language = excluded.language, field = excluded.field, issued_on = excluded.issued_on,"
        " changed_at = excluded.changed_at, position = excluded.position, search = excluded.search",
        [_directive_row(state) for state in changed],
    )


def _version_row(state: DirectiveState, version: AddedVersion) -> tuple[Any, ...]:
    payload = version.payload
    return (
        state.key,
        payload.version,
        payload.action.value,
        version.event_id,
        version.lane_offset,
        version.received_at,
        version.position,
        Jsonb(payload.model_dump(mode="json")),
    )


def searched_words(number: str, title: str, abstract: str, body: str) -> str:
    """What a directive is found by, folded."""
    return fold(f"{number} {title} {abstract} {body}")


def _directive_row(state: DirectiveState) -> tuple[Any, ...]:
    newest = state.added[-1]
    payload = newest.payload
    words = searched_words(payload.number, payload.title, payload.abstract or "", payload.body)
    return (
        state.key,
        state.agency,
        payload.directive_id,
        state.version,
        state.withdrawn,
        payload.number,
        payload.document_type,
        payload.title,
        payload.language,
        payload.field,
        payload.issued_on,
        state.published_at,
        newest.received_at,
        newest.position,
        words,
    )


def _write_waiting(connection: Connection[Any], history: History) -> None:
    many(
        connection,
        "delete from ledger.waiting where agency = %s and lane_offset = %s",
        [seat.place for seat in history.released if not seat.fresh],
    )
    many(
        connection,
        "insert into ledger.waiting (agency, lane_offset, key, rule, rank, until, received_at, value, position)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            (*seat.place, seat.key, seat.rule, seat.rank, seat.until, seat.received_at, seat.value, seat.position)
            for room in chain(history.waiting.values(), history.held.values())
            for seat in room
            if seat.fresh
        ],
    )


def _write_parked(connection: Connection[Any], docket: Docket, judged_at: JudgedAt) -> None:
    positions = [entry.position for entry in docket.entries if entry.claim is not None]
    many(
        connection,
        "insert into ledger.parked (agency, lane_offset, reason, detail, record_key, headers, value, parked_at, key,"
        " holds_until, portal, epoch, sequence) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            (
                record.agency,
                record.offset,
                unreadable.rule,
                unreadable.detail,
                record.key,
                Jsonb([[_storable(name), b64encode(value or b"").decode()] for name, value in record.headers]),
                record.value,
                judged_at(position),
                kept.claim.key,
                kept.until,
                *((kept.claim.portal, *kept.place) if kept.place else (None, None, None)),
            )
            for (record, unreadable), kept, position in zip(docket.parked, docket.set_aside, positions, strict=True)
        ],
    )
    many(
        connection,
        "update ledger.parked set holds_until = null where agency = %s and lane_offset = %s",
        [(kept.agency, kept.lane_offset) for kept in docket.history.let_go],
    )
    many(
        connection,
        "update ledger.parked set portal = null, epoch = null, sequence = null"
        " where agency = %s and portal = %s and epoch = %s and sequence = %s and state <> 'redriven'",
        [
            (source.agency, source.portal, *place)
            for source in docket.history.sources.values()
            for place in source.refilled
        ],
    )


def _storable(text: str) -> str:
    """PostgreSQL's text and jsonb hold every character but NUL."""
    return text.replace("\x00", "\ufffd")
