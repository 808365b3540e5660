"""Gaps in the order of a source: opened, held behind, filled, gone, closed. Pure: lane times in, gaps out.

An event beyond the next expected sequence opens a gap. While a gap holds, later events of its source wait behind it,
so that a missing event that comes in time takes effect in its place; then they go on, and the gap stays listed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from portalbus.schemas.models import SourceManifest
    from portalbus.streams.judgement.history import SourceState

WAITS_FOR_GAP = "source.waits-for-gap"
"""The rule of events that are held, and of the notices that ask for what is missing."""

MOST_HOLDING = 100
"""How many gaps of one source hold events at a time."""

LONG_AGO = datetime.min.replace(tzinfo=UTC)
"""When a hold was over that has nothing to wait for any more."""

FIRST_ASK_AGAIN, LAST_ASK_AGAIN = timedelta(seconds=10), timedelta(hours=1)
ASK_FOR = timedelta(days=30)
"""How long an open gap is asked for: as long as a source keeps what it has sent, unless it was told otherwise."""


class GapState(StrEnum):
    """What is known about the events of a gap."""

    OPEN = "open"
    GONE = "gone"  # the source says that it does not have them any more
    CLOSED = "closed"  # an operator has given them up


class Place(NamedTuple):
    """A place in the order of a source."""

    epoch: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Gap:
    """A range of sequences that was passed over, and of which none has come; times are lane times.

    Events behind it are held until `hold_until`; None when it holds nothing (any more). One that an operator has closed
    keeps it until those behind it have gone on: see `over_at`. It was asked for `asked` times, and will be at `ask_at`.
    """

    epoch: int
    first: int
    last: int
    opened_at: datetime
    state: GapState = GapState.OPEN
    hold_until: datetime | None = None
    asked: int = 0
    ask_at: datetime | None = None

    @property
    def name(self) -> tuple[int, int]:
        """Epoch and first sequence: what names a gap of a source."""
        return self.epoch, self.first

    @property
    def missing(self) -> int:
        """How many events are missing."""
        return self.last - self.first + 1

    @property
    def over_at(self) -> datetime | None:
        """When its hold is over, long ago once it is closed; None when it holds nothing (any more)."""
        return LONG_AGO if self.hold_until is not None and self.state is GapState.CLOSED else self.hold_until

    def part(self, first: int, last: int) -> Gap:
        """A part of it."""
        return replace(self, first=first, last=last)

    def asked_again(self, now: datetime) -> Gap:
        """The gap after it was asked for once more at `now`: the pause until the next time doubles, up to an hour."""
        pause = min(FIRST_ASK_AGAIN * 2 ** min(self.asked, 16), LAST_ASK_AGAIN)
        after = now + pause if now - self.opened_at < ASK_FOR else None
        return replace(self, asked=self.asked + 1, ask_at=after)


class Placed(Protocol):
    """What stands somewhere in the order of a source: an envelope, or a bare place."""

    @property
    def epoch(self) -> int:
        """Epoch of the source's outbox."""

    @property
    def sequence(self) -> int:
        """Sequence in the epoch."""


def gap_holding(placed: Placed, source: SourceState) -> Gap | None:
    """The gap in which this sequence lies; None when no gap does."""
    for gap in source.gaps.values():
        if gap.epoch == placed.epoch and gap.first <= placed.sequence <= gap.last:
            return gap
    return None


def held_behind(placed: Placed, source: SourceState | None) -> tuple[int, int] | None:
    """The lowest range that holds up this sequence, or will when it is taken; None when it may go on."""
    if source is None or placed.epoch > source.epoch:
        return (1, placed.sequence - 1) if placed.sequence > 1 else None
    if placed.epoch < source.epoch:
        return None
    barrier = holding(source)
    if barrier is not None:
        return (barrier.first, barrier.last) if barrier.first < placed.sequence else None
    missed = (source.last_sequence + 1, placed.sequence - 1)
    return missed if missed[0] <= missed[1] else None


def holding(source: SourceState) -> Gap | None:
    """The lowest gap behind which events are held now."""
    if not source.gaps:
        return None
    held = (gap for gap in source.gaps.values() if gap.hold_until is not None and gap.epoch == source.epoch)
    return min(held, key=lambda gap: gap.first, default=None)


def held_until(placed: Placed, source: SourceState) -> datetime | None:
    """When the last hold before this place will be over (lane time); None when there is none."""
    before = [gap for gap in source.gaps.values() if gap.epoch == placed.epoch and gap.first < placed.sequence]
    return max((gap.hold_until for gap in before if gap.hold_until is not None), default=None)


def open_gap(source: SourceState, last: int, now: datetime, hold: timedelta) -> Gap:
    """Opens the gap from the next expected sequence to `last`, and notes that it is asked for now.

    Where many of its source hold already, it is one that holds nothing.
    """
    holds = hold and sum(gap.hold_until is not None for gap in source.gaps.values()) < MOST_HOLDING
    until = now + hold if holds else None
    gap = Gap(source.epoch, source.last_sequence + 1, last, now, hold_until=until).asked_again(now)
    source.put_gap(gap)
    return gap


def fill_place(source: SourceState, gap: Gap, sequence: int) -> None:
    """Takes one sequence out of a gap: it becomes smaller, falls into two, or is gone."""
    source.drop_gap(gap)
    if gap.first < sequence:
        source.put_gap(gap.part(gap.first, sequence - 1))
    if sequence < gap.last:
        source.put_gap(gap.part(sequence + 1, gap.last))


def end_holds(source: SourceState, now: datetime | None = None) -> bool:
    """Ends the holds whose time is over at `now`, or all of them; True when one ended."""
    over = [gap for gap in source.gaps.values() if gap.over_at and (now is None or gap.over_at <= now)]
    for gap in over:
        source.put_gap(replace(gap, hold_until=None))
    return bool(over)


def give_up(gap: Gap, source_holds: bool) -> Gap:
    """A gap as an operator closes it; what its source holds behind it goes on with the next record of the lane."""
    return replace(gap, state=GapState.CLOSED, ask_at=None, hold_until=gap.hold_until if source_holds else None)


def begin_epoch(source: SourceState, epoch: int) -> None:
    """The source began anew: what is missing from before cannot come from its outbox any more."""
    for gap in list(source.gaps.values()):
        _be_gone(source, gap)
    source.gone_before = Place(epoch, 0)
    source.epoch, source.last_sequence = epoch, 0


def kept_from_of(manifest: SourceManifest) -> int:
    """The first sequence of its epoch that a source still keeps."""
    return manifest.first_sequence or manifest.delivered_sequence + 1


def note_gone(source: SourceState, manifest: SourceManifest) -> None:
    """Notes which missing events the source no longer keeps, by its own word."""
    if manifest.epoch != source.epoch:
        return
    kept_from = kept_from_of(manifest)
    source.gone_before = Place(source.epoch, kept_from)
    for gap in list(source.gaps.values()):
        if gap.epoch != source.epoch or gap.first >= kept_from:
            continue
        if gap.last < kept_from:
            _be_gone(source, gap)
        else:
            source.put_gap(gap.part(kept_from, gap.last))
            _be_gone(source, gap.part(gap.first, kept_from - 1))


def _be_gone(source: SourceState, gap: Gap) -> None:
    if gap.state is GapState.OPEN:
        source.put_gap(replace(gap, state=GapState.GONE, hold_until=None, ask_at=None))
    elif gap.hold_until is not None:
        source.put_gap(replace(gap, hold_until=None))
