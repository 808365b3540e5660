"""An operator's decisions about parked records: judge them again, or set them aside for good."""

from __future__ import annotations

from datetime import datetime

from portalbus.schemas.codec import Decoded, Misshapen
from portalbus.schemas.models import Envelope, VerdictStatus
from portalbus.streams.judgement.decision import Decision, rejected, waiting
from portalbus.streams.judgement.docket import NO_CLAIM_RULES, Content, Docket, lane_time
from portalbus.streams.judgement.history import SourceState
from portalbus.streams.judgement.judge import judge
from portalbus.streams.judgement.parked import HELD, Claim
from portalbus.streams.judgement.sources import hear, take_sequence
from portalbus.streams.records import LaneRecord

DISCARDED = rejected("parked.discarded")
HEARTBEAT = Decision(VerdictStatus.DUPLICATE, "parked.heartbeat-past")


class ParkedDocket(Docket):
    """Judges parked records a second time, each as of its own lane time; `now` is when the operator decided.

    That is never before the record came, however much the clocks of ledger and broker differ. What waited behind a
    record is judged right after it, in the order in which it came.
    """

    live = False

    def redrive(self, record: LaneRecord, content: Content, claim: Claim, now: datetime) -> Decision:
        """Judges a parked record that can be read now. Behind one that is still parked, it waits."""
        self._let_go(record.agency, record.offset, claim)
        now = max(now, lane_time(record.timestamp_ms))
        if isinstance(content, Decoded | Misshapen):
            decision = self._judge_again(record, content, now)
            if isinstance(content, Decoded):
                came_at = lane_time(record.timestamp_ms)
                self._waiting_room.heard(content.event.key, record.agency, now, came_at)
        else:  # what a source says of itself: others came after it, and say more
            decision = HEARTBEAT
            received_at = self._facts_at(record.timestamp_ms).now
            self._enter(record.agency, record.offset, received_at, None, decision, None, fresh=False)
        self._release_behind(record.agency, claim, now)
        return decision

    def discard(self, agency: str, lane_offset: int, received_at: datetime, claim: Claim, now: datetime) -> Decision:
        """Refuses a parked record for good."""
        self._let_go(agency, lane_offset, claim)
        self._enter(agency, lane_offset, received_at, None, DISCARDED, None, fresh=False)
        self._release_behind(agency, claim, max(now, received_at))
        return DISCARDED

    def _judge_again(self, record: LaneRecord, content: Decoded | Misshapen, now: datetime) -> Decision:
        facts = self._facts_at(record.timestamp_ms)
        received_at = facts.now
        behind = isinstance(content, Decoded) and self._waiting_room.is_behind_parked(record, content.event.key, now)
        held = waiting(HELD) if behind else None
        decision = judge(content, record.key, record.agency, self.history, facts, held=held)
        envelope = content.event.envelope if isinstance(content, Decoded) else content.envelope
        source = None
        if decision.rule not in ("lane.agency-mismatch", "source.blocked"):
            source = self._source_of(envelope, received_at)
            take_sequence(envelope, source, received_at)
        if decision.rule not in NO_CLAIM_RULES:
            self.history.event_ids[record.agency, envelope.id] = content.content_hash
        if isinstance(content, Decoded) and decision.status is VerdictStatus.WAITING:
            decision = self._waiting_room.seat(record, content, received_at, decision, now)
        self._enter(
            record.agency, record.offset, received_at, content, decision, record.value, fresh=False, redriven=True
        )
        if isinstance(content, Decoded) and decision.status is VerdictStatus.ACCEPTED:
            self._accept(content, record.offset, received_at)
        if source is not None:
            self._holding.settle(source, now)
        return decision

    def _source_of(self, envelope: Envelope, received_at: datetime) -> SourceState:
        """The source of a record of the past: it was heard since, unless this is the first that is heard of it."""
        known = self.history.sources.get((envelope.agency, envelope.portal))
        return known or hear(envelope, received_at, self.history)

    def _let_go(self, agency: str, lane_offset: int, claim: Claim) -> None:
        held = self.history.parked.get((agency, claim.key or ""), [])
        held[:] = [kept for kept in held if kept.lane_offset != lane_offset]

    def _release_behind(self, agency: str, claim: Claim, now: datetime) -> None:
        if claim.key is not None:
            self._waiting_room.heard(claim.key, agency, now)
