"""A batch of lane records, judged one after the other; each accepted event releases what waited for it.

Pure: the same records on the same history give the same entries, whoever asks and whenever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar, NamedTuple

from portalbus.schemas.codec import Decoded, Misshapen
from portalbus.schemas.directory import AgencyDirectory
from portalbus.schemas.models import BucketContents, Envelope, SourceManifest, SourceStatement, VerdictStatus
from portalbus.schemas.rules import Facts
from portalbus.schemas.topics import lane_of
from portalbus.streams.judgement.aggregates import judge_aggregate
from portalbus.streams.judgement.bounds import Bounds
from portalbus.streams.judgement.decision import CANARY, Decision, parked, waiting
from portalbus.streams.judgement.gaps import WAITS_FOR_GAP
from portalbus.streams.judgement.history import History, SourceState, WaitingEvent
from portalbus.streams.judgement.holding import Holding
from portalbus.streams.judgement.judge import judge
from portalbus.streams.judgement.notice import Notice
from portalbus.streams.judgement.parked import HELD, Claim, ParkedRecord, claim_of
from portalbus.streams.judgement.restoring import folds
from portalbus.streams.judgement.sources import hear, judge_statement, set_aside
from portalbus.streams.judgement.waiting_room import WaitingRoom
from portalbus.streams.records import LaneRecord

NO_CLAIM_RULES = frozenset({"event.duplicate", "event.id-reused", "lane.agency-mismatch", "source.blocked"})
"""Decisions after which the event id is not this record's: it is another's, or may be used again later."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record whose bytes are no event of ours; `detail` holds no content."""

    rule: str
    detail: str


Content = Decoded | Misshapen | SourceStatement | Unreadable


class Item(NamedTuple):
    """A lane record and what was read from it."""

    record: LaneRecord
    content: Content


class Entry(NamedTuple):
    """One judgement, as it enters the ledger; `fresh` is False when it replaces an earlier, open one.

    `claim` is what an unreadable record says of itself; `redriven` tells that a parked one could be read after all.

    A named tuple, like the lane record: one is made for every event.
    """

    agency: str
    lane_offset: int
    received_at: datetime
    envelope: Envelope | None
    event_type: str | None
    key: str | None
    content_hash: bytes | None
    decision: Decision
    position: int
    canonical: bytes | None
    fresh: bool
    claim: Claim | None = None
    redriven: bool = False

    @property
    def claims_id(self) -> bool:
        """True when the event id belongs to this record from now on."""
        return self.envelope is not None and self.decision.rule not in NO_CLAIM_RULES


@dataclass(slots=True)
class Docket:
    """Judges records in lane order against one history. `next_position` is the first free ledger position.

    `set_aside` says for each of the `parked` what it holds; `heartbeats` counts by agency the records without an entry.
    """

    history: History
    directory: AgencyDirectory
    next_position: int
    bounds: Bounds = field(default_factory=Bounds)
    entries: list[Entry] = field(default_factory=list)
    parked: list[tuple[LaneRecord, Unreadable]] = field(default_factory=list)
    set_aside: list[ParkedRecord] = field(default_factory=list)
    heartbeats: Counter[str] = field(default_factory=Counter)
    notices: list[tuple[int, Notice]] = field(default_factory=list)
    _facts: dict[int, Facts] = field(default_factory=dict)
    first_position: int = field(init=False)
    _holding: Holding = field(init=False)
    _waiting_room: WaitingRoom = field(init=False)
    live: ClassVar[bool] = True
    """True for what lanes bring now, False for what an operator takes up again."""

    def __post_init__(self) -> None:
        bounds = self.bounds
        self.history.directory, self.history.review = self.directory, bounds.review
        self.history.limits = bounds.limits
        self.first_position = self.next_position
        self._holding = Holding(self.history, bounds.gap_hold, bounds.room, self._freed, self.tell)
        self._waiting_room = WaitingRoom(
            self.history, bounds, self._decided, lambda: self.next_position, live=self.live
        )

    def hear(self, items: Iterable[Item]) -> None:
        """Judges these records, in this order."""
        for item in items:
            self._hear_one(item)

    def pass_time(self, agency: str, now: datetime) -> None:
        """Ends the holds behind gaps that are over at `now`, as the next record of the lane would.

        Only for a time up to which everything of the lane was heard: no record may come that is earlier.
        """
        self._holding.pass_time(agency, now)

    def release(self, keys: Iterable[str]) -> None:
        """Judges what waits for these keys again: what they stand for was healed."""
        self._waiting_room.healed(keys)

    def expire(self, heard_until: Callable[[str], datetime]) -> None:
        """Refuses what has waited too long for its cause; `heard_until` says by agency how far its lane was judged."""
        self._waiting_room.expire(heard_until)

    def put_away(self) -> None:
        """Ends its work. It and its parts name each other: large events would wait for the collector of garbage."""
        del self._holding, self._waiting_room

    def tell(self, notice: Notice) -> None:
        """Says something that is no judgement; it takes the next position."""
        self.notices.append((self.next_position, notice))
        self.next_position += 1

    def _hear_one(self, item: Item) -> None:
        record, content = item
        facts = self._facts_at(record.timestamp_ms)
        received_at = facts.now
        self._holding.pass_time(record.agency, received_at)
        if isinstance(content, SourceManifest | BucketContents):
            self._hear_statement(record, content, received_at)
        elif isinstance(content, Unreadable):
            self._park(record, content, received_at)
        else:
            self._hear_event(record, content, facts)

    def _hear_statement(self, record: LaneRecord, content: SourceStatement, received_at: datetime) -> None:
        """Keeps what a source states of itself; who states it of another agency's source is told that it may not."""
        refusal = judge_statement(content, record.agency)
        if refusal is not None:
            self._enter(record.agency, record.offset, received_at, None, refusal, None)
            return
        if isinstance(content, SourceManifest):
            self._holding.hear_manifest(content, record.agency, received_at)
            self.history.reconciling.hear_manifest(content, record.agency, received_at)
        else:
            self.history.reconciling.hear_contents(content, record.agency, received_at)
        self.heartbeats[record.agency] += 1

    def _facts_at(self, timestamp_ms: int) -> Facts:
        """The facts at a lane time: the clock of judgement is the broker's, so that a replay judges the same."""
        facts = self._facts.get(timestamp_ms)
        if facts is None:
            facts = self._facts[timestamp_ms] = Facts(self.directory, lane_time(timestamp_ms), self.bounds.limits)
        return facts

    def _park(self, record: LaneRecord, content: Unreadable, received_at: datetime) -> None:
        """Sets a record aside; later records of its lane wait behind it when they have its key."""
        kept = ParkedRecord(record.agency, record.offset, claim_of(record))
        source = set_aside(kept, received_at, self.history)
        if key := kept.claim.key:
            others = self.history.parked.setdefault((record.agency, key), [])
            if len(others) < self.bounds.parked_per_key:  # who goes on and on is not waited for any more
                kept.until = received_at + self.bounds.parked_hold
                others.append(kept)
        self.parked.append((record, content))
        self.set_aside.append(kept)
        self._enter(record.agency, record.offset, received_at, None, parked(content.rule), None, claim=kept.claim)
        if source is not None:
            self._holding.settle(source, received_at)

    def _hear_event(self, record: LaneRecord, content: Decoded | Misshapen, facts: Facts) -> None:
        received_at = facts.now
        envelope = content.event.envelope if isinstance(content, Decoded) else content.envelope
        self._holding.turn(envelope, record.agency, received_at)
        held = self._held(record, content, received_at) if isinstance(content, Decoded) else None
        decision = judge(content, record.key, record.agency, self.history, facts, held=held)
        source = None
        if decision.rule != "lane.agency-mismatch":
            source = hear(envelope, received_at, self.history)
            if decision.rule != "source.blocked":  # its place stays open, so that it can be sent again
                self._holding.take(envelope, source, received_at)
        if decision.status is VerdictStatus.DUPLICATE:
            self.history.reconciling.note_resent(record.agency, envelope.id, content.content_hash, record.value)
        if decision.rule not in NO_CLAIM_RULES:
            self.history.event_ids[record.agency, envelope.id] = content.content_hash
        self._conclude(record, content, source, received_at, decision, received_at)
        if source is not None:
            self._holding.settle(source, received_at)

    def _conclude(
        self,
        record: LaneRecord,
        content: Decoded | Misshapen,
        source: SourceState | None,
        received_at: datetime,
        decision: Decision,
        now: datetime,
        *,
        fresh: bool = True,
    ) -> None:
        """Enters what was decided on an event, and does what follows from it."""
        if isinstance(content, Decoded) and decision.status is VerdictStatus.WAITING:
            if source is not None and decision.rule == WAITS_FOR_GAP:
                self._holding.seat(record, content, source, received_at)
            else:
                decision = self._waiting_room.seat(record, content, received_at, decision, now)
        self._enter(record.agency, record.offset, received_at, content, decision, record.value, fresh=fresh)
        if isinstance(content, Decoded) and decision.status is VerdictStatus.ACCEPTED:
            self._accept(content, record.offset, received_at)
            self._waiting_room.heard(content.event.key, record.agency, now, received_at)

    def _freed(self, seat: WaitingEvent, now: datetime) -> None:
        """Judges an event that a gap has held up, as if it came now."""
        record = LaneRecord(lane_of(seat.agency), seat.agency, seat.lane_offset, 0, None, seat.value)
        behind = self._waiting_room.is_behind_parked(record, seat.decoded.event.key, now)
        decision = waiting(HELD) if behind else judge_aggregate(seat.decoded.event, self.history, seat.received_at)
        self._conclude(record, seat.decoded, None, seat.received_at, decision, now, fresh=False)

    def _held(self, record: LaneRecord, content: Decoded, now: datetime) -> Decision | None:
        """What an event has to wait for, before it is asked what it does."""
        barrier = self._holding.barrier(content.event.envelope, record.agency, now)
        if barrier is not None:
            return barrier
        return waiting(HELD) if self._waiting_room.is_behind_parked(record, content.event.key, now) else None

    def _decided(self, seat: WaitingEvent, decision: Decision) -> None:
        """Enters what was decided on an event that waited."""
        self._enter(seat.agency, seat.lane_offset, seat.received_at, seat.decoded, decision, seat.value, fresh=False)
        if decision.status is VerdictStatus.ACCEPTED:
            self._accept(seat.decoded, seat.lane_offset, seat.received_at)

    def _accept(self, content: Decoded, lane_offset: int, received_at: datetime) -> None:
        entry = self.entries[-1]
        if folds(content.event, entry.decision, self.history, received_at):
            self.history.accept(content.event, lane_offset, received_at, entry.position)

    def _enter(
        self,
        agency: str,
        lane_offset: int,
        received_at: datetime,
        content: Decoded | Misshapen | None,
        decision: Decision,
        value: bytes | None,
        *,
        fresh: bool = True,
        claim: Claim | None = None,
        redriven: bool = False,
    ) -> None:
        envelope, event_type, key, content_hash = _identity(content)
        self.entries.append(
            Entry(
                agency,
                lane_offset,
                received_at,
                envelope,
                event_type,
                key,
                content_hash,
                decision,
                self.next_position,
                value if decision.status is VerdictStatus.ACCEPTED and decision != CANARY else None,
                fresh,
                claim,
                redriven,
            )
        )
        self.next_position += 1


def _identity(
    content: Decoded | Misshapen | None,
) -> tuple[Envelope | None, str | None, str | None, bytes | None]:
    """Envelope, event type, key and content hash, as far as they could be read."""
    if isinstance(content, Decoded):
        event = content.event
        return event.envelope, event.payload.event_type, event.key, content.content_hash
    if isinstance(content, Misshapen):
        return content.envelope, content.event_type, None, content.content_hash
    return None, None, None, None


def lane_time(timestamp_ms: int) -> datetime:
    """The broker's time of a record (LogAppendTime) as an aware datetime."""
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC)
