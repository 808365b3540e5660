"""Rules about the directive or the case that an event belongs to."""

from __future__ import annotations

from portalbus.schemas.models import Canary, DirectivePublished, Event, FeedbackReceived, FeedbackResolved
from portalbus.streams.judgement.decision import ACCEPTED, CANARY, Decision, rejected, waiting
from portalbus.streams.judgement.history import History


def judge_aggregate(event: Event, history: History) -> Decision:
    """Accepted, refused, or waiting for its cause, by the state of the directive or case alone."""
    payload = event.payload
    if isinstance(payload, DirectivePublished):
        return judge_directive(event.key, payload, history)
    if isinstance(payload, FeedbackReceived):
        return judge_receipt(payload, history)
    if isinstance(payload, Canary):
        return CANARY  # it belongs to no directive and no case
    return judge_answer(payload, event.envelope.agency, history)


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


def judge_answer(payload: FeedbackResolved, agency: str, history: History) -> Decision:
    """A case is answered once, by the agency that has it or the one that received it, and only after its receipt."""
    case = history.cases.get(payload.case_id)
    if case is None:
        return waiting("case.waits-for-receipt")
    if agency not in (case.owner, case.receiver):
        return rejected("case.not-yours", "/case_id", owner=case.owner, agency=agency)
    if case.is_resolved:
        return rejected("case.already-resolved", "/case_id")
    return ACCEPTED


def rank(event: Event, received_ms: int) -> int:
    """Order of release within a key: the version of a directive, the lane time (milliseconds) of anything else."""
    return event.payload.version if isinstance(event.payload, DirectivePublished) else received_ms
