"""Events that the reconciliation asked for again.

An event that was asked for again was taken in before. Where the ledger still lists it, it is a duplicate whose bytes
are kept for the healing. Where the ledger has lost it, it is accepted anew, as restored, and not sent to the
canonical topics a second time. One that has never come, because a parked record with forged headers took its place,
is judged like any other (`Reconciling.unheard`).
"""

from __future__ import annotations

from datetime import datetime

from portalbus.schemas.models import Event, VerdictStatus
from portalbus.streams.judgement.aggregates import judge_aggregate
from portalbus.streams.judgement.decision import ACCEPTED, RESTORED, Decision
from portalbus.streams.judgement.history import History


def judge_restored(event: Event, history: History, received_at: datetime) -> Decision:
    """The decision on an event that the ledger had once and has lost: what came after it does not speak against it."""
    decision = judge_aggregate(event, history, received_at)
    if decision.rule == ACCEPTED.rule:
        return RESTORED
    if decision.status is VerdictStatus.REJECTED and history.reconciling.place_is_free(event):
        return RESTORED
    return decision


def folds(event: Event, decision: Decision, history: History, received_at: datetime) -> bool:
    """False for a restored event behind which others have been accepted: the reconciliation puts it in its place."""
    return decision != RESTORED or judge_aggregate(event, history, received_at).rule == ACCEPTED.rule
