"""A batch of lane records, judged one after the other; each accepted event releases what waited for it.

Pure: the same records on the same history give the same entries, whoever asks and whenever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from portalbus.schemas.codec import Decoded, Misshapen
from portalbus.schemas.directory import AgencyDirectory
from portalbus.schemas.law.limits import Limits, limits
from portalbus.schemas.models import BucketContents, Envelope, SourceManifest, SourceStatement, VerdictStatus
from portalbus.schemas.rules import Facts
from portalbus.schemas.topics import lane_of
from portalbus.streams.judgement.aggregates import judge_aggregate, rank
from portalbus.streams.judgement.decision import CANARY, Decision, parked, rejected, waiting
from portalbus.streams.judgement.gaps import WAITS_FOR_GAP
from portalbus.streams.judgement.history import REVIEW, History, SourceState, WaitingEvent
from portalbus.streams.judgement.holding import LONG_AGO, Holding, Room
from portalbus.streams.judgement.judge import judge
from portalbus.streams.judgement.notice import Notice
from portalbus.streams.judgement.parked import HELD, Claim, ParkedRecord, claim_of
from portalbus.streams.judgement.restoring import folds
from portalbus.streams.judgement.sources import hear, judge_statement, set_aside
from portalbus.streams.records import LaneRecord

NO_CLAIM_RULES = frozenset({"event.duplicate", "event.id-reused", "lane.agency-mismatch", "source.blocked"})
"""Decisions after which the event id is not this record's: it is another's, or may be used again later."""


TimeOf = Callable[[WaitingEvent], datetime]
"""Up to when the lane that a waiting event depends on was heard."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long an event may wait for its cause (lane time), and how many of one agency may wait for one key.

    And how long a parked record holds its key, and how many undecided ones may hold the same one. And how long the
    events of a source are held behind a gap in its order (zero: not at all), how many, and how many bytes of them. And
    how many bytes of events that waited are taken up again in one step, if there is more than one thing to begin with.
    And how long after an answer the centre may return it (lane time; zero: not at all). And the dated `limits` that no
    law gives.
    """

    wait: timedelta = timedelta(days=7)
    waiting_per_key: int = 100
    parked_hold: timedelta = timedelta(hours=1)
    parked_per_key: int = 10
    gap_hold: timedelta = timedelta(seconds=25)
    held_per_source: int = 1_000
    held_bytes_per_source: int = 2 << 20
    bytes_at_once: int = 4 << 20
    review: timedelta = REVIEW
    limits: Limits = field(default_factory=limits)

    @property
    def room(self) -> Room:
        """How much of one source is held at most."""
        return Room(self.held_per_source, self.held_bytes_per_source)


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

    def __post_init__(self) -> None:
        bounds = self.bounds
        self.history.directory, self.history.review = self.directory, bounds.review
        self.history.limits = bounds.limits
        self.first_position = self.next_position
        self._holding = Holding(self.history, bounds.gap_hold, bounds.room, self._freed, self.tell)

    def hear(self, items: Iterable[Item]) -> None:
        """Judges these records, in this order."""
        for item in items:
            self._hear_one(item)

    def put_away(self) -> None:
        """Ends its work. It and its holding name each other: large events would wait for the collector of garbage."""
        del self._holding

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
                decision = self._seat(record, content, received_at, decision, now)
        self._enter(record.agency, record.offset, received_at, content, decision, record.value, fresh=fresh)
        if isinstance(content, Decoded) and decision.status is VerdictStatus.ACCEPTED:
            self._accept(content, record.offset, received_at)
            self._release(content.event.key, self._time_by(record.agency, now, received_at))

    def _freed(self, seat: WaitingEvent, now: datetime) -> None:
        """Judges an event that a gap has held up, as if it came now."""
        record = LaneRecord(lane_of(seat.agency), seat.agency, seat.lane_offset, 0, None, seat.value)
        behind = self._is_held(record, seat.decoded.event.key, now)
        decision = waiting(HELD) if behind else judge_aggregate(seat.decoded.event, self.history, seat.received_at)
        self._conclude(record, seat.decoded, None, seat.received_at, decision, now, fresh=False)

    def _held(self, record: LaneRecord, content: Decoded, now: datetime) -> Decision | None:
        """What an event has to wait for, before it is asked what it does."""
        barrier = self._holding.barrier(content.event.envelope, record.agency, now)
        if barrier is not None:
            return barrier
        return waiting(HELD) if self._is_held(record, content.event.key, now) else None

    def _is_held(self, record: LaneRecord, key: str, now: datetime) -> bool:
        """True when an event has to wait behind a parked record; lets those go that have waited long enough."""
        room = self.history.waiting.get(key)
        if room and any(seat.rule == HELD and now > seat.until for seat in room):
            self._release(key, self._time_by(record.agency, now))
        return self.history.held_until(record.agency, key, record.offset, now) is not None

    def _seat(
        self, record: LaneRecord, content: Decoded, received_at: datetime, decision: Decision, now: datetime
    ) -> Decision:
        """Gives an event a seat in the waiting room; or refuses it, or stops holding the key, when the room is full."""
        key = content.event.key
        room = self.history.waiting.setdefault(key, [])
        # Counted by agency: on a case, anybody may speak, and nobody may keep the others out.
        full = sum(seat.agency == record.agency for seat in room) >= self.bounds.waiting_per_key
        if full and decision.rule == HELD:
            self._stop_holding(record.agency, key, now)
            decision = judge_aggregate(content.event, self.history, received_at)
            return decision if decision.final else self._seat(record, content, received_at, decision, now)
        if full:
            return rejected("waiting.room-full")
        room.append(
            WaitingEvent(
                agency=record.agency,
                lane_offset=record.offset,
                key=key,
                rule=decision.rule,
                rank=rank(content.event, round(now.timestamp() * 1000)),
                until=self._until(decision, record.agency, key, record.offset, now),
                received_at=received_at,
                value=record.value or b"",
                decoded=content,
                position=self.next_position,
            )
        )
        return decision

    def _until(self, decision: Decision, agency: str, key: str, lane_offset: int, now: datetime) -> datetime:
        held = self.history.held_until(agency, key, lane_offset, now) if decision.rule == HELD else None
        return held or now + self.bounds.wait

    def _stop_holding(self, agency: str, key: str, now: datetime) -> None:
        """Nobody waits behind this lane's parked records of a key any more; those who do are judged now, in order."""
        for kept in self.history.parked.pop((agency, key), []):
            kept.until = None
            self.history.let_go.append(kept)
        self._release(key, self._time_by(agency, now))

    def _time_by(self, agency: str, now: datetime, came_at: datetime | None = None) -> TimeOf:
        """What a record of this lane says of the time. What other lanes may still bring is not late by that.

        A cause has come at `came_at`, however long a gap has then held it.
        """
        by = came_at or now
        return lambda seat: now if seat.rule == HELD else by if seat.awaits == agency else LONG_AGO

    def _release(self, key: str, time_of: TimeOf) -> None:
        """Judges what waits for this key again, in order, until nothing moves."""
        room = self.history.waiting.get(key)
        moved = bool(room)
        while room and moved:
            moved = False
            for event in sorted(room, key=lambda seat: seat.turn):
                moved |= self._reconsider(event, room, time_of(event))

    def _reconsider(self, seat: WaitingEvent, room: list[WaitingEvent], now: datetime) -> bool:
        decision = self._second_look(seat, now)
        if decision is None:
            return False
        room.remove(seat)
        self.history.released.append(seat)
        if not decision.final:  # from behind a parked record into the queue for its own cause
            until = seat.received_at + self.bounds.wait
            room.append(replace(seat, rule=decision.rule, until=until, fresh=True))
        self._enter(seat.agency, seat.lane_offset, seat.received_at, seat.decoded, decision, seat.value, fresh=False)
        if decision.status is VerdictStatus.ACCEPTED:
            self._accept(seat.decoded, seat.lane_offset, seat.received_at)
        return True

    def _second_look(self, seat: WaitingEvent, now: datetime) -> Decision | None:
        """What is to be decided on a waiting event now; None when it waits on as it did.

        Who waits behind a parked record is never refused for the time it took.
        """
        if seat.rule == HELD:
            if self.history.held_until(seat.agency, seat.key, seat.lane_offset, now) is not None:
                return None
        elif now > seat.until:
            return rejected("waiting.time-up")
        decision = judge_aggregate(seat.decoded.event, self.history, seat.received_at)
        return decision if decision.final or decision.rule != seat.rule else None

    def pass_time(self, agency: str, now: datetime) -> None:
        """Ends the holds behind gaps that are over at `now`, as the next record of the lane would.

        Only for a time up to which everything of the lane was heard: no record may come that is earlier.
        """
        self._holding.pass_time(agency, now)

    def release(self, keys: Iterable[str]) -> None:
        """Judges what waits for these keys again: what they stand for was healed. Nobody's time is over by that."""
        for key in keys:
            self._release(key, lambda _: LONG_AGO)

    def expire(self, heard_until: Callable[[str], datetime]) -> None:
        """Refuses every event whose cause has not come in time, and judges who has waited behind a parked record.

        `heard_until` says by agency up to which lane time everything of its lane was judged: an event is refused only
        where a cause that is still to come would come too late as well.
        """

        def time_of(seat: WaitingEvent) -> datetime:
            return heard_until(seat.awaits)

        for key, room in sorted(self.history.waiting.items()):  # whatever order the database gave them in
            if any(time_of(seat) > seat.until for seat in room):
                self._release(key, time_of)

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
