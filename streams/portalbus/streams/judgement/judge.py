"""The judge: one record in, one decision out.

The order of the questions is the order of authority: may this lane say it, was it said before, does it stand in its
place, is it well formed, and does it fit what happened so far.
"""

from __future__ import annotations

from portalbus.schemas.codec import Decoded, Misshapen
from portalbus.schemas.rules import Facts, findings
from portalbus.streams.judgement.aggregates import judge_aggregate
from portalbus.streams.judgement.decision import DUPLICATE, Decision, refused, rejected
from portalbus.streams.judgement.history import History
from portalbus.streams.judgement.restoring import judge_restored
from portalbus.streams.judgement.sources import judge_sequence, judge_source


def judge(
    content: Decoded | Misshapen,
    record_key: bytes | None,
    lane_agency: str,
    history: History,
    facts: Facts,
    *,
    held: Decision | None = None,
) -> Decision:
    """The decision on an event that could be read. Reads `history`, changes nothing.

    An event that is `held` behind a gap or a parked one may be refused for what it is, not for what it does.
    """
    envelope = content.event.envelope if isinstance(content, Decoded) else content.envelope
    refusal = judge_source(envelope, lane_agency, history)
    if refusal is not None:
        return refusal
    wanted = history.reconciling.is_wanted(lane_agency, envelope.id, content.content_hash)
    known = history.event_ids.get((lane_agency, envelope.id))
    if known is not None:
        return DUPLICATE if wanted or known == content.content_hash else rejected("event.id-reused", "/envelope/id")
    source = history.sources.get((lane_agency, envelope.portal))
    if source is not None and not wanted:
        refusal = judge_sequence(envelope, source)
        if refusal is not None:
            return refusal
    if isinstance(content, Misshapen):
        return refused(content.findings[0])
    for finding in findings(content.event, facts):
        return refused(finding)
    if record_key is not None and record_key != content.event.key.encode():
        return rejected("record.key-mismatch")
    if wanted and (lane_agency, envelope.id) not in history.reconciling.unheard:
        return judge_restored(content.event, history, facts.now)
    return held or judge_aggregate(content.event, history, facts.now)
