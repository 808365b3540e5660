"""The rows of cases: what the judge needs of them, and what it makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from portalbus.streams.judgement.case_state import CaseState, TakenStep
from portalbus.streams.judgement.case_steps import OPEN, CaseStage
from portalbus.streams.judgement.history import History
from portalbus.streams.ledger.tables import Table, many

CASE = Table(
    "ledger.case",
    "case_id text, public_code text, receiver text, addressed_to text, regime text, category int4, channel text,"
    " field text, area text, urgency text, subject text, content text, language text, pseudonym text,"
    " diverted text,"
    " received_at timestamptz, outcome text, reason_code text, reason_text text, legal_basis text,"
    " competent_agency text, answer text, answer_language text, answer_public bool, answered_by text,"
    " answered_at timestamptz, answer_heard_at timestamptz, answer_published_at timestamptz, owner text, state text,"
    " stage text, passed text[], steps int4, urgent bool, position int8",
)
ANSWERED = (
    "update ledger.case set outcome = %s, reason_code = %s, reason_text = %s, legal_basis = %s, competent_agency = %s,"
    " answer = %s, answer_language = %s, answer_public = %s, answered_by = %s, answered_at = %s,"
    " answer_heard_at = %s, answer_published_at = %s, owner = %s, state = %s, stage = %s, passed = %s, steps = %s,"
    " urgent = %s, position = %s where case_id = %s"
)
STEPPED = (
    "update ledger.case set answer_published_at = %s, owner = %s, state = %s, stage = %s, passed = %s, steps = %s,"
    " urgent = %s, position = %s where case_id = %s"
)
DIVERTED = "update ledger.case set subject = '', content = '', pseudonym = null where case_id = %s"
STEP = (
    "insert into ledger.case_step (case_id, position, agency, event_id, lane_offset, received_at, step, document)"
    " values (%s, %s, %s, %s, %s, %s, %s, %s)"
)


def case_of(row: Sequence[Any]) -> CaseState:
    """The working copy of a case, from what was fetched of it."""
    case_id, receiver, owner, resolved, stage, passed, *life = row
    return CaseState(case_id, receiver, owner, resolved, CaseStage(stage), tuple(passed or ()), *life)


def case_row(case: CaseState) -> tuple[Any, ...]:
    """The row of a case that this batch opened."""
    payload = case.opened
    assert payload is not None  # noqa: S101 - the caller chose opened cases
    return (
        case.case_id,
        payload.public_code,
        case.receiver,
        payload.addressed_to,
        payload.regime,
        payload.category,
        payload.channel.value,
        payload.field,
        payload.area,
        payload.urgency.value,
        *(("", "") if case.is_diverted else (payload.subject, payload.content)),
        payload.language,
        None if case.is_diverted else payload.pseudonym,
        payload.diverted.value if payload.diverted else None,
        payload.received_at,
        *_answer_columns(case),
        *_life_columns(case),
    )


def update_cases(connection: Connection[Any], history: History) -> None:
    """Writes what answers and steps changed in cases of earlier batches, and the steps of all."""
    known = [case for case in history.cases.values() if case.opened is None]
    answered = [case for case in known if case.resolved is not None or case.returned]
    stepped = [case for case in known if case.taken and case.resolved is None and not case.returned]
    many(connection, ANSWERED, [(*_answer_columns(case), *_life_columns(case), case.case_id) for case in answered])
    many(connection, STEPPED, [(case.published_at, *_life_columns(case), case.case_id) for case in stepped])
    many(connection, DIVERTED, [(case.case_id,) for case in known if case.is_diverted])
    write_steps(connection, history)


def write_steps(connection: Connection[Any], history: History) -> None:
    """Writes the steps that a history brought."""
    many(connection, STEP, [_step_row(step) for case in history.cases.values() for step in case.taken])


def _answer_columns(case: CaseState) -> tuple[Any, ...]:
    """What the newest answer said; nothing where there is none, or the centre returned it."""
    answer = case.resolved
    if answer is None:
        return (None,) * 12
    return (
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
        case.heard_at,
        case.published_at,
    )


def _life_columns(case: CaseState) -> tuple[Any, ...]:
    passed = list(case.passed) or None
    return case.owner, _state(case), case.stage.value, passed, case.steps, case.urgent, case.position


def _state(case: CaseState) -> str:
    """Open, answered, or ended without an answer."""
    if case.is_resolved:
        return "RESOLVED"
    return "RECEIVED" if case.stage in OPEN else "CLOSED"


def _step_row(step: TakenStep) -> tuple[Any, ...]:
    payload = step.payload
    said = payload.model_dump(mode="json", exclude={"case_id"})
    return (
        payload.case_id,
        step.position,
        step.agency,
        step.event_id,
        step.lane_offset,
        step.received_at,
        payload.step.value,
        Jsonb(said),
    )
