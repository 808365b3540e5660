"""What the ledger knows about the sources, directives and cases that a batch touches: a working copy.

Judgement reads it and folds accepted events into it; the ledger writes what changed. It is the only mutable thing
in here, and lives for one batch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from portalbus.schemas.codec import Decoded
from portalbus.schemas.models import (
    DirectiveAction,
    DirectivePublished,
    Envelope,
    Event,
    FeedbackReceived,
    FeedbackResolved,
    Payload,
    SourceManifest,
)


@dataclass(slots=True)
class SourceState:
    """One source: how far its sequence came, and which sequences were passed over (`gaps`: first → last, by epoch)."""

    agency: str
    portal: str
    first_heard_at: datetime
    last_heard_at: datetime
    status: str = "active"
    epoch: int = 1
    last_sequence: int = 0
    clock_offset_before: int = 0
    newest: tuple[Envelope, datetime] | None = None
    gaps: dict[tuple[int, int], tuple[int, datetime]] = field(default_factory=dict)
    gaps_changed: bool = False
    manifest: SourceManifest | None = None

    @property
    def clock_offset_ms(self) -> int:
        """How far the source's clock was ahead of lane time when it published its newest event, in milliseconds."""
        if self.newest is None:
            return self.clock_offset_before
        envelope, received_at = self.newest
        return round((envelope.published_at - received_at).total_seconds() * 1000)


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
class CaseState:
    """One case; `opened` and `resolved` hold what this batch brought."""

    case_id: str
    receiver: str
    owner: str
    resolved_before: bool = False
    opened: FeedbackReceived | None = None
    resolved: FeedbackResolved | None = None
    answered_by: str | None = None
    position: int = 0

    @property
    def is_resolved(self) -> bool:
        """True when the case has its answer, from before or from this batch."""
        return self.resolved_before or self.resolved is not None


@dataclass(slots=True)
class WaitingEvent:
    """One event in the waiting room; `until` and `received_at` are lane times."""

    agency: str
    lane_offset: int
    key: str
    rule: str
    rank: int
    until: datetime
    received_at: datetime
    value: bytes
    decoded: Decoded
    fresh: bool = True

    @property
    def place(self) -> tuple[str, int]:
        """Lane and offset: what names a record."""
        return self.agency, self.lane_offset


@dataclass(slots=True)
class History:
    """The working copy of one batch."""

    sources: dict[tuple[str, str], SourceState] = field(default_factory=dict)
    event_ids: dict[tuple[str, str], bytes] = field(default_factory=dict)
    directives: dict[str, DirectiveState] = field(default_factory=dict)
    cases: dict[str, CaseState] = field(default_factory=dict)
    public_codes: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, list[WaitingEvent]] = field(default_factory=dict)
    released: list[WaitingEvent] = field(default_factory=list)

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
                opened=payload,
                position=position,
            )
            self.public_codes[payload.public_code] = payload.case_id
        else:
            case = self.cases[payload.case_id]
            case.resolved, case.answered_by, case.position = payload, event.envelope.agency, position

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
