"""Writes what a docket decided: one COPY for the events, one for the judgements, and what changed in each state."""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime
from typing import Any
from uuid import UUID

from portalbus.schemas.search_text import fold
from portalbus.streams.judgement.docket import Docket, Entry
from portalbus.streams.judgement.history import AddedVersion, CaseState, DirectiveState, History, SourceState
from psycopg import Connection
from psycopg.types.json import Jsonb

EVENT_COLUMNS = (
    "agency, lane_offset, event_id, claims_id, event_type, portal, epoch, sequence, key, content_hash,"
    " occurred_at, published_at, received_at, judged_at, position, status, final, rule"
)
EVENT_TYPES = [
    "text",
    "int8",
    "uuid",
    "bool",
    "text",
    "text",
    "int4",
    "int8",
    "text",
    "bytea",
    "timestamptz",
    "timestamptz",
    "timestamptz",
    "timestamptz",
    "int8",
    "text",
    "bool",
    "text",
]
JUDGEMENT_COLUMNS = (
    "position, agency, lane_offset, event_id, event_type, portal, epoch, sequence, key,"
    " status, final, rule, path, params, judged_at, canonical"
)
JUDGEMENT_TYPES = [
    "int8",
    "text",
    "int8",
    "uuid",
    "text",
    "text",
    "int4",
    "int8",
    "text",
    "text",
    "bool",
    "text",
    "text",
    "jsonb",
    "timestamptz",
    "bytea",
]
CASE_COLUMNS = (
    "case_id, public_code, receiver, owner, regime, category, channel, field, area, urgency, subject, content,"
    " language, pseudonym, received_at, state, outcome, reason_code, reason_text, legal_basis, competent_agency,"
    " answer, answer_language, answer_public, answered_by, answered_at, position"
)
CASE_TYPES = [
    "text",
    "text",
    "text",
    "text",
    "text",
    "int4",
    "text",
    "text",
    "text",
    "text",
    "text",
    "text",
    "text",
    "text",
    "timestamptz",
    "text",
    "text",
    "text",
    "text",
    "text",
    "text",
    "text",
    "text",
    "bool",
    "text",
    "timestamptz",
    "int8",
]


def write_docket(connection: Connection[Any], docket: Docket, judged_at: datetime) -> None:
    """Everything a docket decided, in the connection's open transaction."""
    history = docket.history
    _copy_events(connection, docket.entries, judged_at)
    _copy_judgements(connection, docket.entries, judged_at)
    _copy_new_cases(connection, history)
    with connection.pipeline():
        _replace_open_events(connection, docket.entries, judged_at)
        _write_sources(connection, history)
        _update_resolved_cases(connection, history)
        _write_directives(connection, history)
        _write_waiting(connection, history)
        _write_parked(connection, docket, judged_at)


def _copy_events(connection: Connection[Any], entries: list[Entry], judged_at: datetime) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy(f"copy ledger.event ({EVENT_COLUMNS}) from stdin (format binary)") as copy,
    ):
        copy.set_types(EVENT_TYPES)
        write = copy.write_row
        for entry in entries:
            if entry.fresh:
                write(_event_row(entry, judged_at))


def _event_row(entry: Entry, judged_at: datetime) -> tuple[Any, ...]:
    envelope, decision = entry.envelope, entry.decision
    if envelope is None:
        head: tuple[Any, ...] = (None, False, None, None, None, None, None, None, None, None)
    else:
        head = (
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
    return (
        entry.agency,
        entry.lane_offset,
        *head,
        entry.received_at,
        judged_at,
        entry.position,
        decision.status.value,
        decision.final,
        decision.rule,
    )


def _copy_judgements(connection: Connection[Any], entries: list[Entry], judged_at: datetime) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy(f"copy ledger.judgement ({JUDGEMENT_COLUMNS}) from stdin (format binary)") as copy,
    ):
        copy.set_types(JUDGEMENT_TYPES)
        write = copy.write_row
        for entry in entries:
            write(_judgement_row(entry, judged_at))


def _judgement_row(entry: Entry, judged_at: datetime) -> tuple[Any, ...]:
    envelope, decision = entry.envelope, entry.decision
    return (
        entry.position,
        entry.agency,
        entry.lane_offset,
        UUID(envelope.id) if envelope else None,
        entry.event_type,
        envelope.portal if envelope else None,
        envelope.epoch if envelope else None,
        envelope.sequence if envelope else None,
        entry.key,
        decision.status.value,
        decision.final,
        decision.rule,
        decision.path,
        Jsonb({name: _storable(text) for name, text in decision.params.items()}) if decision.params else None,
        judged_at,
        entry.canonical,
    )


def _replace_open_events(connection: Connection[Any], entries: list[Entry], judged_at: datetime) -> None:
    rows = [
        (entry.position, entry.decision.status.value, entry.decision.final, entry.decision.rule, judged_at)
        + (entry.agency, entry.lane_offset)
        for entry in entries
        if not entry.fresh
    ]
    _many(
        connection,
        "update ledger.event set position = %s, status = %s, final = %s, rule = %s, judged_at = %s"
        " where agency = %s and lane_offset = %s",
        rows,
    )


def _write_sources(connection: Connection[Any], history: History) -> None:
    sources = list(history.sources.values())
    _many(
        connection,
        "insert into ledger.source (agency, portal, epoch, last_sequence, first_heard_at, last_heard_at,"
        " clock_offset_ms, manifest) values (%s, %s, %s, %s, %s, %s, %s, %s)"
        " on conflict (agency, portal) do update set epoch = excluded.epoch, last_sequence = excluded.last_sequence,"
        " last_heard_at = excluded.last_heard_at, clock_offset_ms = excluded.clock_offset_ms,"
        " manifest = coalesce(excluded.manifest, source.manifest)",
        [_source_row(source) for source in sources],
    )
    changed = [source for source in sources if source.gaps_changed]
    _many(
        connection,
        "delete from ledger.gap where agency = %s and portal = %s",
        [(source.agency, source.portal) for source in changed],
    )
    _many(
        connection,
        "insert into ledger.gap (agency, portal, epoch, first, last, opened_at) values (%s, %s, %s, %s, %s, %s)",
        [
            (source.agency, source.portal, epoch, first, last, opened_at)
            for source in changed
            for (epoch, first), (last, opened_at) in source.gaps.items()
        ],
    )


def _source_row(source: SourceState) -> tuple[Any, ...]:
    manifest = source.manifest.model_dump(mode="json", exclude={"buckets"}) if source.manifest else None
    return (
        source.agency,
        source.portal,
        source.epoch,
        source.last_sequence,
        source.first_heard_at,
        source.last_heard_at,
        source.clock_offset_ms,
        Jsonb(manifest) if manifest else None,
    )


def _copy_new_cases(connection: Connection[Any], history: History) -> None:
    opened = [case for case in history.cases.values() if case.opened is not None]
    if not opened:
        return
    with (
        connection.cursor() as cursor,
        cursor.copy(f"copy ledger.case ({CASE_COLUMNS}) from stdin (format binary)") as copy,
    ):
        copy.set_types(CASE_TYPES)
        for case in opened:
            copy.write_row(_case_row(case))


def _case_row(case: CaseState) -> tuple[Any, ...]:
    payload = case.opened
    assert payload is not None  # noqa: S101 - the caller chose opened cases
    return (
        case.case_id,
        payload.public_code,
        case.receiver,
        case.owner,
        payload.regime,
        payload.category,
        payload.channel.value,
        payload.field,
        payload.area,
        payload.urgency.value,
        payload.subject,
        payload.content,
        payload.language,
        payload.pseudonym,
        payload.received_at,
        *_answer_columns(case),
        case.position,
    )


def _answer_columns(case: CaseState) -> tuple[Any, ...]:
    answer = case.resolved
    if answer is None:
        return ("RECEIVED", *[None] * 10)
    return (
        "RESOLVED",
        answer.outcome.value,
        answer.reason_code.value if answer.reason_code else None,
        answer.reason_text,
        answer.legal_basis,
        answer.competent_agency,
        answer.answer,
        answer.language,
        answer.public,
        case.answered_by,
        answer.answered_at,
    )


def _update_resolved_cases(connection: Connection[Any], history: History) -> None:
    _many(
        connection,
        "update ledger.case set state = %s, outcome = %s, reason_code = %s, reason_text = %s, legal_basis = %s,"
        " competent_agency = %s, answer = %s, answer_language = %s, answer_public = %s, answered_by = %s,"
        " answered_at = %s, position = %s where case_id = %s",
        [
            (*_answer_columns(case), case.position, case.case_id)
            for case in history.cases.values()
            if case.opened is None and case.resolved is not None
        ],
    )


def _write_directives(connection: Connection[Any], history: History) -> None:
    changed = [state for state in history.directives.values() if state.added]
    _many(
        connection,
        "insert into ledger.directive_version (key, version, action, event_id, lane_offset, received_at, position,"
        " document) values (%s, %s, %s, %s, %s, %s, %s, %s)",
        [_version_row(state, version) for state in changed for version in state.added],
    )
    _many(
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


def _directive_row(state: DirectiveState) -> tuple[Any, ...]:
    newest = state.added[-1]
    payload = newest.payload
    words = fold(f"{payload.number} {payload.title} {payload.abstract or ''} {payload.body}")
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
    _many(
        connection,
        "delete from ledger.waiting where agency = %s and lane_offset = %s",
        [seat.place for seat in history.released if not seat.fresh],
    )
    _many(
        connection,
        "insert into ledger.waiting (agency, lane_offset, key, rule, rank, until, received_at, value)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s)",
        [
            (seat.agency, seat.lane_offset, seat.key, seat.rule, seat.rank, seat.until, seat.received_at, seat.value)
            for room in history.waiting.values()
            for seat in room
            if seat.fresh
        ],
    )


def _write_parked(connection: Connection[Any], docket: Docket, judged_at: datetime) -> None:
    _many(
        connection,
        "insert into ledger.parked (agency, lane_offset, reason, detail, record_key, headers, value, parked_at)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s)",
        [
            (
                record.agency,
                record.offset,
                unreadable.rule,
                unreadable.detail,
                record.key,
                Jsonb([[_storable(name), b64encode(value or b"").decode()] for name, value in record.headers]),
                record.value,
                judged_at,
            )
            for record, unreadable in docket.parked
        ],
    )


def _many(connection: Connection[Any], sql: str, rows: list[tuple[Any, ...]]) -> None:
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(sql, rows)


def _storable(text: str) -> str:
    """PostgreSQL's text and jsonb hold every character but NUL."""
    return text.replace("\x00", "\ufffd")
