"""What the ledger knows about the sources, directives and cases that a batch touches: a working copy.

Judgement reads it and folds accepted events into it; the ledger writes what changed. It is the only mutable thing
in here, and lives for one batch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from portalbus.schemas.codec import Decoded
from portalbus.schemas.directory import AgencyDirectory, directory
from portalbus.schemas.facts import VIET_NAM
from portalbus.schemas.law.limits import Limits, limits
from portalbus.schemas.models import (
    Canary,
    CaseUrgency,
    DirectiveAction,
    DirectivePublished,
    Envelope,
    Event,
    FeedbackProgressed,
    FeedbackReceived,
    Payload,
    SourceManifest,
)
from portalbus.streams.judgement.case_state import REVIEW as REVIEW
from portalbus.streams.judgement.case_state import CaseState as CaseState
from portalbus.streams.judgement.case_state import TakenStep, heir
from portalbus.streams.judgement.clocks import lead_ms
from portalbus.streams.judgement.gaps import Gap, Place
from portalbus.streams.judgement.parked import HELD, ParkedRecord, held_until
from portalbus.streams.judgement.reconciling import Reconciling

AGENCY_OF_KEY = re.compile("[/-]")


@dataclass(slots=True)
class SourceState:
    """One source: how far its sequence came, which were passed over (`gaps`, by epoch and first), and how many events
    are held behind them, with how many bytes of values.

    `clock_leads` are those of its last heartbeats (milliseconds).
    `set_aside` are the places of parked records: used up, and free for the one who comes to fill them after all; those
    that this batch filled are `refilled`.
    """

    agency: str
    portal: str
    first_heard_at: datetime
    last_heard_at: datetime
    status: str = "active"
    epoch: int = 1
    last_sequence: int = 0
    clock_offset_before: int = 0
    held: int = 0
    held_bytes: int = 0
    clock_leads: Sequence[int] = ()
    newest: tuple[Envelope, datetime] | None = None
    gaps: dict[tuple[int, int], Gap] = field(default_factory=dict)
    changed_gaps: set[tuple[int, int]] = field(default_factory=set)
    crowded: bool = False
    """More gaps are listed than `gaps` has: there are those that hold, and those that the batch touches."""
    gone_before: Place | None = None
    """By what this batch brought, whatever is missing before this place is gone."""
    manifest: SourceManifest | None = None
    set_aside: set[Place] = field(default_factory=set)
    refilled: set[Place] = field(default_factory=set)

    @property
    def name(self) -> tuple[str, str]:
        """Agency and portal."""
        return self.agency, self.portal

    @property
    def hold_key(self) -> str:
        """Under which key its held events wait; no directive and no case can have it."""
        return f"source:{self.agency}/{self.portal}"

    def put_gap(self, gap: Gap) -> None:
        """Lists a gap, in place of the one that began there."""
        self.gaps[gap.name] = gap
        self.changed_gaps.add(gap.name)

    def drop_gap(self, gap: Gap) -> None:
        """Takes a gap off the list."""
        del self.gaps[gap.name]
        self.changed_gaps.add(gap.name)

    @property
    def clock_offset_ms(self) -> int:
        """How far the source's clock was ahead of lane time when it published its newest event, in milliseconds."""
        if self.newest is None:
            return self.clock_offset_before
        envelope, received_at = self.newest
        return lead_ms(envelope.published_at, received_at)


@dataclass(slots=True)
class DirectiveState:
    """One directive at its newest version; `added` holds the versions that this batch brought."""

    key: str
    agency: str
    version: int
    withdrawn: bool
    published_at: datetime
    added: list[AddedVersion] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class AddedVersion:
    """A version that this batch accepted, with where it came from."""

    payload: DirectivePublished
    event_id: str
    lane_offset: int
    received_at: datetime
    position: int


@dataclass(slots=True)
class WaitingEvent:
    """One event in the waiting room; `until` and `received_at` are lane times, `position` is where it took its seat."""

    agency: str
    lane_offset: int
    key: str
    rule: str
    rank: int
    until: datetime
    received_at: datetime
    value: bytes
    decoded: Decoded
    position: int = 0
    fresh: bool = True

    @property
    def place(self) -> tuple[str, int]:
        """Lane and offset: what names a record."""
        return self.agency, self.lane_offset

    @property
    def awaits(self) -> str:
        """The agency on whose lane that comes what it waits for: its own, or who alone may open its directive or case.

        The key of a directive or case begins with that agency.
        """
        return self.agency if self.rule == HELD else AGENCY_OF_KEY.split(self.key, maxsplit=1)[0]

    @property
    def turn(self) -> tuple[int, str, int]:
        """Its place in the order of release: by rank, and within a lane in the order in which the seats were taken."""
        return self.rank, self.agency, self.position


@dataclass(slots=True)
class History:
    """The working copy of one batch.

    `parked` are the undecided parked records that hold a key, by lane and key; those that hold theirs no longer, by
    what this batch brought, are in `let_go`. `held` are the events behind a gap, by source: there only when some
    of them may go on in this batch.
    """

    sources: dict[tuple[str, str], SourceState] = field(default_factory=dict)
    event_ids: dict[tuple[str, str], bytes] = field(default_factory=dict)
    directives: dict[str, DirectiveState] = field(default_factory=dict)
    cases: dict[str, CaseState] = field(default_factory=dict)
    public_codes: dict[str, str] = field(default_factory=dict)
    parked: dict[tuple[str, str], list[ParkedRecord]] = field(default_factory=dict)
    let_go: list[ParkedRecord] = field(default_factory=list)
    waiting: dict[str, list[WaitingEvent]] = field(default_factory=dict)
    held: dict[tuple[str, str], list[WaitingEvent]] = field(default_factory=dict)
    released: list[WaitingEvent] = field(default_factory=list)
    canaries: dict[tuple[str, str], tuple[Canary, datetime]] = field(default_factory=dict)
    """The last canary of each source that this batch brought, with its lane time."""

    reconciling: Reconciling = field(default_factory=Reconciling)
    directory: AgencyDirectory = field(default_factory=directory)
    review: timedelta = REVIEW
    """So long after an answer the centre may return it; it is not shown before, unless it is published."""
    limits: Limits = field(default_factory=limits)

    def held_until(self, agency: str, key: str, lane_offset: int, now: datetime) -> datetime | None:
        """How long a record of this lane and key waits behind parked ones; None when it need not wait."""
        return held_until(self.parked.get((agency, key), ()), lane_offset, now) if self.parked else None

    def accept(self, event: Event, lane_offset: int, received_at: datetime, position: int) -> None:
        """Folds an accepted event into the state of its directive or case."""
        payload: Payload = event.payload
        if isinstance(payload, DirectivePublished):
            self._add_version(event, payload, lane_offset, received_at, position)
        elif isinstance(payload, FeedbackReceived):
            self.cases[payload.case_id] = CaseState(
                case_id=payload.case_id,
                receiver=event.envelope.agency,
                owner=payload.addressed_to,
                urgent=payload.urgency is CaseUrgency.URGENT,
                opened=payload,
                position=position,
            )
            self.public_codes[payload.public_code] = payload.case_id
        elif isinstance(payload, Canary):
            self.canaries[event.envelope.agency, event.envelope.portal] = (payload, received_at)
        elif isinstance(payload, FeedbackProgressed):
            taken = TakenStep(payload, event.envelope.agency, event.envelope.id, lane_offset, received_at, position)
            today = received_at.astimezone(VIET_NAM).date()
            self.cases[payload.case_id].take(taken, heir(payload.to_agency or "", self.directory, today))
        else:
            self.cases[payload.case_id].answer(payload, event.envelope.agency, position, received_at)

    def _add_version(
        self, event: Event, payload: DirectivePublished, lane_offset: int, received_at: datetime, position: int
    ) -> None:
        key = event.key
        state = self.directives.get(key)
        if state is None:
            state = DirectiveState(key, event.envelope.agency, 0, False, received_at)
            self.directives[key] = state
        state.version = payload.version
        state.withdrawn = payload.action is DirectiveAction.WITHDRAW
        state.added.append(AddedVersion(payload, event.envelope.id, lane_offset, received_at, position))
