"""The waiting room: events whose cause has not come yet, and those that stand behind a parked record of their key.

An event leaves it when its cause comes, when the record before it is decided, or when its time is up; what waits for
one key leaves in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime

from portalbus.schemas.codec import Decoded
from portalbus.streams.judgement.aggregates import judge_aggregate, rank
from portalbus.streams.judgement.bounds import Bounds
from portalbus.streams.judgement.decision import Decision, rejected
from portalbus.streams.judgement.gaps import LONG_AGO
from portalbus.streams.judgement.history import History, WaitingEvent
from portalbus.streams.judgement.parked import HELD
from portalbus.streams.records import LaneRecord

TimeOf = Callable[[WaitingEvent], datetime]
"""Up to when the lane that a waiting event depends on was heard."""

Decided = Callable[[WaitingEvent, Decision], None]


class WaitingRoom:
    """The waiting room of one docket.

    `decided` enters what is decided on an event that waited, `position` is the first free ledger position.
    With `live` off nothing that is heard here tells that a cause is late: an operator's time says nothing of lanes.
    """

    def __init__(
        self, history: History, bounds: Bounds, decided: Decided, position: Callable[[], int], *, live: bool = True
    ) -> None:
        self._history = history
        self._bounds = bounds
        self._decided = decided
        self._position = position
        self._live = live

    def seat(
        self, record: LaneRecord, content: Decoded, received_at: datetime, decision: Decision, now: datetime
    ) -> Decision:
        """Gives an event a seat; or refuses it, or stops holding its key, when too many of its agency wait for that."""
        key = content.event.key
        room = self._history.waiting.setdefault(key, [])
        # Counted by agency: on a case, anybody may speak, and nobody may keep the others out.
        full = sum(seat.agency == record.agency for seat in room) >= self._bounds.waiting_per_key
        if full and decision.rule == HELD:
            self._stop_holding(record.agency, key, now)
            decision = judge_aggregate(content.event, self._history, received_at)
            return decision if decision.final else self.seat(record, content, received_at, decision, now)
        if full:
            return rejected("waiting.room-full")
        room.append(
            WaitingEvent(
                agency=record.agency,
                lane_offset=record.offset,
                key=key,
                rule=decision.rule,
                rank=rank(content.event, round(now.timestamp() * 1000)),
                until=self._until(decision, record, key, now),
                received_at=received_at,
                value=record.value or b"",
                decoded=content,
                position=self._position(),
            )
        )
        return decision

    def is_behind_parked(self, record: LaneRecord, key: str, now: datetime) -> bool:
        """True when an event has to wait behind a parked record; lets those go that have waited long enough."""
        room = self._history.waiting.get(key)
        if room and any(seat.rule == HELD and now > seat.until for seat in room):
            self.heard(key, record.agency, now)
        return self._history.held_until(record.agency, key, record.offset, now) is not None

    def heard(self, key: str, agency: str, now: datetime, came_at: datetime | None = None) -> None:
        """Judges what waits for this key again, as something was heard on this lane at `now`.

        What other lanes may still bring is not late by that. A cause has come at `came_at`, however long a gap has then
        held it.
        """
        by = came_at or (now if self._live else LONG_AGO)
        self._release(key, lambda seat: now if seat.rule == HELD else by if seat.awaits == agency else LONG_AGO)

    def healed(self, keys: Iterable[str]) -> None:
        """Judges what waits for these keys again: what they stand for was healed. Nobody's time is up by that."""
        for key in keys:
            self._release(key, lambda _: LONG_AGO)

    def expire(self, heard_until: Callable[[str], datetime]) -> None:
        """Refuses every event whose cause has not come in time, and judges who has waited behind a parked record.

        `heard_until` says by agency up to which lane time everything of its lane was judged: an event is refused only
        where a cause that is still to come would come too late as well.
        """

        def time_of(seat: WaitingEvent) -> datetime:
            return heard_until(seat.awaits)

        for key, room in sorted(self._history.waiting.items()):  # whatever order the database gave them in
            if any(time_of(seat) > seat.until for seat in room):
                self._release(key, time_of)

    def _until(self, decision: Decision, record: LaneRecord, key: str, now: datetime) -> datetime:
        behind = self._history.held_until(record.agency, key, record.offset, now) if decision.rule == HELD else None
        return behind or now + self._bounds.wait

    def _stop_holding(self, agency: str, key: str, now: datetime) -> None:
        """Nobody waits behind this lane's parked records of a key any more; those who do are judged now, in order."""
        for kept in self._history.parked.pop((agency, key), []):
            kept.until = None
            self._history.let_go.append(kept)
        self.heard(key, agency, now)

    def _release(self, key: str, time_of: TimeOf) -> None:
        """Judges what waits for this key again, in order, until nothing moves."""
        room = self._history.waiting.get(key)
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
        self._history.released.append(seat)
        if not decision.final:  # from behind a parked record into the queue for its own cause
            room.append(replace(seat, rule=decision.rule, until=seat.received_at + self._bounds.wait, fresh=True))
        self._decided(seat, decision)
        return True

    def _second_look(self, seat: WaitingEvent, now: datetime) -> Decision | None:
        """What is to be decided on a waiting event now; None when it waits on as it did.

        Who waits behind a parked record is never refused for the time it took.
        """
        if seat.rule == HELD:
            if self._history.held_until(seat.agency, seat.key, seat.lane_offset, now) is not None:
                return None
        elif now > seat.until:
            return rejected("waiting.time-up")
        decision = judge_aggregate(seat.decoded.event, self._history, seat.received_at)
        return decision if decision.final or decision.rule != seat.rule else None
