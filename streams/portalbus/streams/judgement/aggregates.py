"""Rules about the directive or the case that an event belongs to."""

from __future__ import annotations

from datetime import datetime

from portalbus.schemas.facts import legal_day
from portalbus.schemas.models import (
    Canary,
    DirectivePublished,
    Event,
    FeedbackProgressed,
    FeedbackReceived,
)
from portalbus.streams.judgement.cases import judge_answer, judge_step, shown_later
from portalbus.streams.judgement.decision import ACCEPTED, CANARY, Decision, rejected, waiting
from portalbus.streams.judgement.history import History


def judge_aggregate(event: Event, history: History, received_at: datetime) -> Decision:
    """Accepted, refused, or waiting for its cause, by the state of the directive or case alone.

    `received_at` is the event's lane time: on its day, an abolished body is followed by its successor.
    """
    payload = event.payload
    if isinstance(payload, DirectivePublished):
        return judge_directive(event.key, payload, history)
    if isinstance(payload, FeedbackReceived):
        return judge_receipt(payload, history)
    if isinstance(payload, Canary):
        return CANARY  # it belongs to no directive and no case
    case = history.cases.get(payload.case_id)
    if case is None:
        return waiting("case.waits-for-receipt")
    agency = event.envelope.agency
    if isinstance(payload, FeedbackProgressed):
        return judge_step(payload, agency, case, history.directory, received_at, history.review, history.limits)
    decision = judge_answer(payload, agency, case, history.directory, legal_day(received_at), history.limits)
    return shown_later(payload, received_at, history.review) if decision is ACCEPTED else decision


def judge_directive(key: str, payload: DirectivePublished, history: History) -> Decision:
    """Versions come one after the other, and nothing comes after a withdrawal."""
    state = history.directives.get(key)
    head = state.version if state else 0
    if payload.version <= head:
        return rejected("directive.version-stale", "/version", head=head, version=payload.version)
    if state is not None and state.withdrawn:
        return rejected("directive.already-withdrawn", "/action")
    if payload.version > head + 1:
        return waiting("directive.waits-for-version", version=head + 1)
    return ACCEPTED


def judge_receipt(payload: FeedbackReceived, history: History) -> Decision:
    """A case is received once, under a public code of its own."""
    if payload.case_id in history.cases:
        return rejected("case.already-received", "/case_id")
    if payload.public_code in history.public_codes:
        return rejected("case.public-code-taken", "/public_code")
    return ACCEPTED


def rank(event: Event, received_ms: int) -> int:
    """Order of release within a key: the version of a directive, the lane time (milliseconds) of anything else."""
    return event.payload.version if isinstance(event.payload, DirectivePublished) else received_ms
