"""Folds the events of a case into its life. Pure; what the judge has accepted is legal, so nothing is refused here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from portalbus.schemas.models import CaseUrgency, FeedbackProgressed, FeedbackReceived, FeedbackResolved, Outcome
from portalbus.streams.casework.life import Ending, Handling, Life
from portalbus.streams.casework.reading import CaseEvent
from portalbus.streams.casework.steps import take

MOST_SEEN = 1_000
ENDINGS: Mapping[Outcome, Ending] = {
    Outcome.REJECTED: Ending.REFUSED,
    Outcome.INSUFFICIENT_BASIS: Ending.REFUSED,
    Outcome.TRANSFERRED_OUT: Ending.TRANSFERRED,
    Outcome.DIVERTED: Ending.DIVERTED,
    Outcome.WITHDRAWN: Ending.WITHDRAWN,
}
"""Every other outcome is an answer."""


def fold(life: Life | None, told: CaseEvent) -> Life | None:
    """The life after an event. None for an event of a case whose receipt is not known: the ledger lost it."""
    payload = told.event.payload
    if life is not None and told.event_id in life.seen:
        return life
    if isinstance(payload, FeedbackReceived):
        return life if life is not None else _received(told, payload)
    if life is None:
        return None
    life.seen = [*life.seen[-MOST_SEEN:], told.event_id]
    if isinstance(payload, FeedbackResolved):
        _resolved(life, payload, told.heard)
    elif isinstance(payload, FeedbackProgressed):
        take(life, payload, told.heard, told.event.envelope.agency)
    return life


def _received(told: CaseEvent, payload: FeedbackReceived) -> Life:
    received = _no_later(payload.received_at, told.heard)
    first = Handling(1, payload.addressed_to, received)
    urgent = payload.urgency is CaseUrgency.URGENT
    if payload.diverted is not None:
        urgent = False
        first.passed_on = first.ended = received
        first.ending = Ending.DIVERTED
    life = Life(
        case_id=payload.case_id,
        regime=payload.regime,
        category=payload.category,
        field=payload.field,
        area=payload.area,
        state="RECEIVED" if payload.diverted is None else Ending.DIVERTED.value,
        urgent=urgent,
        handlings=[first],
        seen=[told.event_id],
        heard=told.heard,
    )
    if urgent:
        life.begin_climb(told.heard)
    return life


def _resolved(life: Life, payload: FeedbackResolved, heard: datetime) -> None:
    handling, ending = life.now, ENDINGS.get(payload.outcome, Ending.ANSWERED)
    at = _within(payload.answered_at, handling.received, heard)
    handling.go_on(at)
    handling.heard = heard
    handling.ended, handling.ending = at, ending
    life.end_climbs(heard)
    if ending is Ending.REFUSED:
        handling.refused = handling.answered = at
        handling.reason_code = payload.reason_code.value if payload.reason_code else None
    elif ending is Ending.ANSWERED:
        handling.answered, handling.is_private = at, not payload.public
    elif ending in (Ending.TRANSFERRED, Ending.DIVERTED):
        handling.passed_on = handling.passed_on or at
    life.state = ending.value


def _no_later(told: datetime, heard: datetime) -> datetime:
    return min(told, heard)


def _within(told: datetime, received: datetime, heard: datetime) -> datetime:
    """When an agency says that it did something, but not before it had the case, nor after the centre heard of it."""
    return max(min(told, heard), received)
