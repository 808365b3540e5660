"""Holding a source's events behind a gap in its order, for a bound, while the missing ones are asked for.

A hold ends when the missing events have come, when the source says that they are gone, when its time is over, when
too much is held, or when the source begins a new epoch. Time is the time of the lane: a hold is over for the first
record of the lane that is later than its bound, whichever source that record is from. So the end of a hold is a matter
of the lane alone, and a replay finds it at the same place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from portalbus.schemas.codec import Decoded
from portalbus.schemas.models import Envelope, SourceManifest
from portalbus.schemas.notices import ResendRequested
from portalbus.streams.judgement.decision import Decision, waiting
from portalbus.streams.judgement.gaps import (
    LONG_AGO,
    WAITS_FOR_GAP,
    Gap,
    Place,
    begin_epoch,
    end_holds,
    gap_holding,
    held_behind,
    held_until,
    holding,
)
from portalbus.streams.judgement.history import History, SourceState, WaitingEvent
from portalbus.streams.judgement.notice import Notice, to_source
from portalbus.streams.judgement.parked import Claim
from portalbus.streams.judgement.sources import hear_manifest, take_sequence
from portalbus.streams.records import LaneRecord

Freed = Callable[[WaitingEvent, datetime], None]
Tell = Callable[[Notice], None]


class Room(NamedTuple):
    """How much of one source is held at most: events, and bytes of their values (the last one may go beyond)."""

    events: int
    size: int

    def is_full(self, source: SourceState) -> bool:
        """True when one more would be too much."""
        return source.held >= self.events or source.held_bytes >= self.size


NO_ROOM = Room(0, 0)


class Heard(NamedTuple):
    """What matters here of a record: its lane, its lane time, what it says of its source, if anything, and its bytes.

    Of a record that cannot be read it is what its headers claim: once parked, it uses up its place.
    """

    lane_agency: str
    now: datetime
    said: Envelope | SourceManifest | Claim | None
    size: int


class Holding:
    """The holds of one docket. `freed` judges an event that is held no longer, `tell` sends a notice.

    `bound` is how long events are held at most (lane time), `room` how much of one source.
    """

    def __init__(self, history: History, bound: timedelta, room: Room, freed: Freed, tell: Tell) -> None:
        self._history = history
        self._bound = bound
        self._room = room
        self._freed = freed
        self._tell = tell
        self._earliest: dict[str, datetime] = {}
        for source in history.sources.values():
            self._watch(source)

    def pass_time(self, agency: str, now: datetime) -> None:
        """Ends the holds on a lane that are over at `now`, the one that was over first first."""
        earliest = self._earliest.get(agency)
        if earliest is None or now <= earliest:
            return
        sources = {source.portal: source for source in self._history.sources.values() if source.agency == agency}
        over = [(over_at, portal) for portal, source in sources.items() if (over_at := _over_at(source))]
        while over and (first := min(over))[0] < now:
            over.remove(first)
            over_at, portal = first
            source = sources[portal]
            end_holds(source, over_at)
            # What follows is as of the time at which the hold was over, not of the moment when that was noticed.
            self._go_on(source, now if over_at == LONG_AGO else over_at)
            later = _over_at(source)
            if later is not None and later > over_at:
                over.append((later, portal))
        del self._earliest[agency]
        for source in sources.values():
            self._watch(source)

    def turn(self, envelope: Envelope, lane_agency: str, now: datetime) -> None:
        """Before an event is judged: with a new epoch of its source, nothing of the old one is waited for."""
        source = self._history.sources.get((lane_agency, envelope.portal))
        if source is None or envelope.agency != lane_agency or source.status == "blocked":
            return
        if envelope.epoch > source.epoch:
            begin_epoch(source, envelope.epoch)
            self._go_on(source, now)

    def barrier(self, envelope: Envelope, lane_agency: str, now: datetime) -> Decision | None:
        """What an event has to wait for; None when it stands in its place."""
        source = self._history.sources.get((lane_agency, envelope.portal))
        missing = held_behind(envelope, source) if self._bound else None
        if missing and source is not None and self._room.is_full(source):
            end_holds(source)
            self._go_on(source, now)
            missing = held_behind(envelope, source)
        return waiting(WAITS_FOR_GAP, first=missing[0], last=missing[1]) if missing else None

    def take(self, envelope: Envelope, source: SourceState, now: datetime) -> None:
        """Takes an event's place in the order of its source, and asks for what it shows to be missing."""
        self._opened(source, take_sequence(envelope, source, now, self._bound), now)

    def seat(self, record: LaneRecord, content: Decoded, source: SourceState, now: datetime) -> None:
        """Holds an event. Its place is taken already, so what it waits for is a gap that holds."""
        envelope = content.event.envelope
        self._history.held.setdefault(source.name, []).append(
            WaitingEvent(
                agency=record.agency,
                lane_offset=record.offset,
                key=source.hold_key,
                rule=WAITS_FOR_GAP,
                rank=envelope.sequence,
                until=held_until(envelope, source) or now,
                received_at=now,
                value=record.value or b"",
                decoded=content,
            )
        )
        source.held += 1
        source.held_bytes += len(record.value or b"")

    def settle(self, source: SourceState, now: datetime) -> None:
        """After an event: lets those go on that nothing holds any more."""
        if source.held:
            self._go_on(source, now)

    def hear_manifest(self, manifest: SourceManifest, lane_agency: str, now: datetime) -> None:
        """Folds a manifest into its source: it may show that something is missing, or that it is gone."""
        opened = hear_manifest(manifest, lane_agency, now, self._history, self._bound)
        source = self._history.sources.get((lane_agency, manifest.portal))
        if source is not None:
            self._opened(source, opened, now)
            self.settle(source, now)

    def _opened(self, source: SourceState, gap: Gap | None, now: datetime) -> None:
        if gap is not None:
            self._tell(request(source, gap, now))
            self._watch(source)

    def _go_on(self, source: SourceState, now: datetime) -> None:
        """Judges the held events below the next gap that holds, in the order of their sequences."""
        room = self._history.held.get(source.name)
        if not room:
            return
        barrier = holding(source)
        free = sorted((seat for seat in room if not barrier or seat.rank < barrier.first), key=lambda seat: seat.rank)
        if not free:
            return
        self._history.held[source.name] = [seat for seat in room if barrier and seat.rank >= barrier.first]
        self._history.released += free
        source.held -= len(free)
        source.held_bytes -= sum(len(seat.value) for seat in free)
        for seat in free:
            self._freed(seat, now)

    def _watch(self, source: SourceState) -> None:
        over_at = _over_at(source)
        if over_at is not None:
            self._earliest[source.agency] = min(over_at, self._earliest.get(source.agency, over_at))


def request(source: SourceState, gap: Gap, now: datetime) -> Notice:
    """Asks a source for what is missing in a gap."""
    return to_source(
        source.agency,
        source.portal,
        ResendRequested(
            agency=source.agency,
            portal=source.portal,
            epoch=gap.epoch,
            first=gap.first,
            last=gap.last,
            reason=WAITS_FOR_GAP,
            requested_at=now,
        ),
    )


def may_go_on(history: History, heard: Iterable[Heard], room: Room) -> list[SourceState]:
    """The sources of which held events may be judged when this is heard: theirs are needed, the others' are not.

    It may name one too many, never one too few.
    """
    latest: dict[str, datetime] = {}
    spoke: Counter[tuple[str, str]] = Counter()
    sizes: Counter[tuple[str, str]] = Counter()
    moved: set[tuple[str, str]] = set()
    for lane_agency, now, said, size in heard:
        latest[lane_agency] = max(now, latest.get(lane_agency, now))
        if said is None or said.portal is None:
            continue
        name = (lane_agency, said.portal)
        spoke[name] += 1
        sizes[name] += size
        source = history.sources.get(name)
        if source is not None and source.held and _may_move(source, said):
            moved.add(name)
    return [
        source
        for name, source in history.sources.items()
        if source.held
        and (
            name in moved
            or source.held + spoke[name] > room.events
            or source.held_bytes + sizes[name] > room.size
            or _is_over(source, latest.get(source.agency))
        )
    ]


def _may_move(source: SourceState, said: Envelope | SourceManifest | Claim) -> bool:
    """True when this may fill a gap, say that one is gone, or begin an epoch."""
    if isinstance(said, Claim):
        return said.sequence is not None and gap_holding(Place(source.epoch, said.sequence), source) is not None
    return isinstance(said, SourceManifest) or said.epoch > source.epoch or gap_holding(said, source) is not None


def _is_over(source: SourceState, now: datetime | None) -> bool:
    over_at = _over_at(source)
    return now is not None and over_at is not None and now > over_at


def _over_at(source: SourceState) -> datetime | None:
    """When the first of a source's holds is over; long ago, when it holds events behind nothing."""
    untils = [gap.over_at for gap in source.gaps.values() if gap.over_at is not None]
    return min(untils) if untils else LONG_AGO if source.held else None
