"""A batch of lane records, judged one after the other; each accepted event releases what waited for it.

Pure: the same records on the same history give the same entries, whoever asks and whenever.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from portalbus.schemas.codec import Decoded, Misshapen
from portalbus.schemas.directory import AgencyDirectory
from portalbus.schemas.models import Envelope, SourceManifest, VerdictStatus
from portalbus.schemas.rules import Facts
from portalbus.streams.judgement.aggregates import judge_aggregate, rank
from portalbus.streams.judgement.decision import Decision, parked, rejected
from portalbus.streams.judgement.history import History, WaitingEvent
from portalbus.streams.judgement.judge import judge
from portalbus.streams.judgement.sources import hear, hear_manifest, take_sequence
from portalbus.streams.records import LaneRecord

NO_CLAIM_RULES = frozenset({"event.duplicate", "event.id-reused", "lane.agency-mismatch", "source.blocked"})
"""Decisions after which the event id is not this record's: it is another's, or may be used again later."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long an event may wait for its cause (lane time), and how many of one agency may wait for one key."""

    wait: timedelta = timedelta(days=7)
    waiting_per_key: int = 100


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record whose bytes are no event of ours; `detail` holds no content."""

    rule: str
    detail: str


Content = Decoded | Misshapen | SourceManifest | Unreadable


class Item(NamedTuple):
    """A lane record and what was read from it."""

    record: LaneRecord
    content: Content


class Entry(NamedTuple):
    """One judgement, as it enters the ledger; `fresh` is False when it replaces an earlier, open one.

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

    @property
    def claims_id(self) -> bool:
        """True when the event id belongs to this record from now on."""
        return self.envelope is not None and self.decision.rule not in NO_CLAIM_RULES


@dataclass(slots=True)
class Docket:
    """Judges records in lane order against one history. `next_position` is the first free ledger position."""

    history: History
    directory: AgencyDirectory
    next_position: int
    bounds: Bounds = field(default_factory=Bounds)
    entries: list[Entry] = field(default_factory=list)
    parked: list[tuple[LaneRecord, Unreadable]] = field(default_factory=list)
    _facts: dict[int, Facts] = field(default_factory=dict)

    def hear(self, items: Iterable[Item]) -> None:
        """Judges these records, in this order."""
        for item in items:
            self._hear_one(item)

    def _hear_one(self, item: Item) -> None:
        record, content = item
        facts = self._facts_at(record.timestamp_ms)
        received_at = facts.now
        if isinstance(content, SourceManifest):
            hear_manifest(content, record.agency, received_at, self.history)
        elif isinstance(content, Unreadable):
            self.parked.append((record, content))
            self._enter(record.agency, record.offset, received_at, None, parked(content.rule), None)
        else:
            self._hear_event(record, content, facts)

    def _facts_at(self, timestamp_ms: int) -> Facts:
        """The facts at a lane time: the clock of judgement is the broker's, so that a replay judges the same."""
        facts = self._facts.get(timestamp_ms)
        if facts is None:
            facts = self._facts[timestamp_ms] = Facts(self.directory, lane_time(timestamp_ms))
        return facts

    def _hear_event(self, record: LaneRecord, content: Decoded | Misshapen, facts: Facts) -> None:
        received_at = facts.now
        decision = judge(content, record.key, record.agency, self.history, facts)
        envelope = content.event.envelope if isinstance(content, Decoded) else content.envelope
        if decision.rule != "lane.agency-mismatch":
            source = hear(envelope, received_at, self.history)
            if decision.rule != "source.blocked":  # its place stays open, so that it can be sent again
                take_sequence(envelope, source, received_at)
        if decision.rule not in NO_CLAIM_RULES:
            self.history.event_ids[record.agency, envelope.id] = content.content_hash
        if isinstance(content, Decoded) and decision.status is VerdictStatus.WAITING:
            decision = self._seat(record, content, received_at, decision)
        self._enter(record.agency, record.offset, received_at, content, decision, record.value)
        if isinstance(content, Decoded) and decision.status is VerdictStatus.ACCEPTED:
            self._accept(content, record.offset, received_at)
            self._release(content.event.key, received_at)

    def _seat(self, record: LaneRecord, content: Decoded, received_at: datetime, decision: Decision) -> Decision:
        """Gives an event a seat in the waiting room, or refuses it when the room is full."""
        key = content.event.key
        room = self.history.waiting.setdefault(key, [])
        # Counted by agency: on a case, anybody may speak, and nobody may keep the others out.
        if sum(seat.agency == record.agency for seat in room) >= self.bounds.waiting_per_key:
            return rejected("waiting.room-full")
        room.append(
            WaitingEvent(
                agency=record.agency,
                lane_offset=record.offset,
                key=key,
                rule=decision.rule,
                rank=rank(content.event, record.timestamp_ms),
                until=received_at + self.bounds.wait,
                received_at=received_at,
                value=record.value or b"",
                decoded=content,
            )
        )
        return decision

    def _release(self, key: str, now: datetime) -> None:
        """Judges what waits for this key again, in order, until nothing moves; `now` is the cause's lane time."""
        room = self.history.waiting.get(key)
        moved = bool(room)
        while room and moved:
            moved = False
            for event in sorted(room, key=lambda seat: (seat.rank, seat.received_at, seat.place)):
                moved |= self._reconsider(event, room, now)

    def _reconsider(self, seat: WaitingEvent, room: list[WaitingEvent], now: datetime) -> bool:
        if now > seat.until:
            decision = rejected("waiting.time-up")
        else:
            decision = judge_aggregate(seat.decoded.event, self.history)
        if not decision.final:
            return False
        room.remove(seat)
        self.history.released.append(seat)
        self._enter(seat.agency, seat.lane_offset, seat.received_at, seat.decoded, decision, seat.value, fresh=False)
        if decision.status is VerdictStatus.ACCEPTED:
            self._accept(seat.decoded, seat.lane_offset, seat.received_at)
        return True

    def expire(self, now: datetime) -> None:
        """Refuses every event whose time to wait is over at `now`."""
        for room in list(self.history.waiting.values()):
            for seat in sorted(room, key=lambda seat: (seat.until, seat.place)):
                if now > seat.until:
                    self._reconsider(seat, room, now)

    def _accept(self, content: Decoded, lane_offset: int, received_at: datetime) -> None:
        self.history.accept(content.event, lane_offset, received_at, self.entries[-1].position)

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
                value if decision.status is VerdictStatus.ACCEPTED else None,
                fresh,
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
