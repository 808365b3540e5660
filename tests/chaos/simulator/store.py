"""The ledger's tables in memory, with the constraints that PostgreSQL would enforce.

Above them runs the product's own `Ledger`, statement by statement: see `statements`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain
from operator import itemgetter
from typing import Any, ClassVar

from portalbus.schemas.notices import ResendRequested
from portalbus.streams.judgement.docket import Docket, Entry
from portalbus.streams.judgement.gaps import Gap
from portalbus.streams.judgement.history import CaseState, DirectiveState, History, SourceState, WaitingEvent
from portalbus.streams.judgement.notice import Notice
from portalbus.streams.judgement.parked import ParkedRecord
from portalbus.streams.ledger import fetching
from portalbus.streams.silence import deadlines as silence
from simulator.reading import decode

Place = tuple[str, int]
SourceName = tuple[str, str]


BREAK = timedelta(seconds=silence.PATIENCE.break_after)


class ConstraintBroken(Exception):
    """PostgreSQL would refuse this transaction."""


@dataclass
class Store:
    """Tables. Rows are as a later transaction reads them; only a commit changes them."""

    claims_are_unique: ClassVar[bool] = True

    next_offset: dict[str, int] = field(default_factory=dict)
    next_position: int = 1
    sources: dict[SourceName, SourceState] = field(default_factory=dict)
    gaps: dict[SourceName, dict[tuple[int, int], Gap]] = field(default_factory=dict)
    events: dict[Place, Entry] = field(default_factory=dict)
    event_ids: dict[SourceName, bytes] = field(default_factory=dict)
    directives: dict[str, DirectiveState] = field(default_factory=dict)
    versions: dict[tuple[str, int], Any] = field(default_factory=dict)
    cases: dict[str, CaseState] = field(default_factory=dict)
    public_codes: dict[str, str] = field(default_factory=dict)
    waiting: dict[Place, WaitingEvent] = field(default_factory=dict)
    parked: dict[Place, ParkedRecord] = field(default_factory=dict)
    hearing: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)
    """Up to when each lane was heard, and since when without a break."""
    order: list[tuple[Entry | Notice, datetime]] = field(default_factory=list)
    """What each position holds, from 1, and when it was written."""
    gaps_seen: dict[tuple[str, str, int, int, int], datetime | None] = field(default_factory=dict)
    """Every gap that was ever listed or asked for, for the history, and when it opened; None where a parked record
    stands in its place."""

    # ---- reading: `fetching._fetch_once` -------------------------------------------------------------------------

    def fetch_once(self, wanted: Any, history: History) -> None:
        """Adds what is wanted to the history: what the statements of `fetching` find, and no more."""
        holding = {name for name, row in self.sources.items() if row.held > 0 and row.agency in wanted.lanes}
        for name in sorted({*wanted.sources, *holding}):
            if (row := self.sources.get(name)) is not None:
                history.sources[name] = replace(
                    row,
                    gaps=dict(self.gaps.get(name, {})),
                    changed_gaps=set(),
                    gone_before=None,
                    set_aside=set(),
                    refilled=set(),
                )
        for found, table, keys in (
            (history.event_ids, self.event_ids, wanted.event_ids),
            (history.public_codes, self.public_codes, wanted.public_codes),
        ):
            found.update({key: table[key] for key in keys if key in table})
        history.directives.update(
            {k: replace(self.directives[k], added=[]) for k in wanted.directives if k in self.directives}
        )
        history.cases.update({key: replace(self.cases[key]) for key in wanted.cases if key in self.cases})
        rooms = set(wanted.rooms)
        fetching.seat_waiting(history, [_seat_row(s) for s in self.waiting.values() if s.key in rooms], decode)
        fetching.note_parked(history, self._parked_rows(rooms, wanted.sources))

    def _parked_rows(self, rooms: set[str], sources: set[SourceName]) -> Iterator[tuple[Any, ...]]:
        for kept in self.parked.values():
            if kept.until is not None and kept.claim.key in rooms:
                yield kept.agency, kept.lane_offset, kept.claim.key, kept.until, None, None, None
            if kept.place is not None and (kept.agency, kept.claim.portal) in sources:
                yield kept.agency, kept.lane_offset, None, None, kept.claim.portal, *kept.place

    # ---- writing: `writing.writing` ------------------------------------------------------------------------------

    def check(self, docket: Docket) -> None:
        """The primary keys and unique indexes of the migrations. Raises ConstraintBroken."""
        positions = sorted([entry.position for entry in docket.entries] + [at for at, _ in docket.notices])
        if positions != list(range(self.next_position, docket.next_position)):
            raise ConstraintBroken(f"positions {positions} instead of {self.next_position} to {docket.next_position}")
        self._check_events(docket.entries)
        self._check_aggregates(docket.history)
        seats = set(self.waiting) - {seat.place for seat in docket.history.released if not seat.fresh}
        for seat in _fresh_seats(docket.history):
            if seat.place in seats:
                raise ConstraintBroken(f"ledger.waiting {seat.place}: there already")
            seats.add(seat.place)

    def _check_events(self, entries: Iterable[Entry]) -> None:
        places, ids = set(self.events), set(self.event_ids)
        for entry in entries:
            place = (entry.agency, entry.lane_offset)
            if entry.fresh == (place in places):
                raise ConstraintBroken(f"ledger.event {place}: {'there already' if entry.fresh else 'not there'}")
            places.add(place)
            if entry.fresh and entry.claims_id and entry.envelope is not None:
                name = (entry.agency, entry.envelope.id)
                if name in ids and self.claims_are_unique:
                    raise ConstraintBroken(f"event_id_once {name}")
                ids.add(name)

    def _check_aggregates(self, history: History) -> None:
        for directive in history.directives.values():
            for version in directive.added:
                if (directive.key, version.payload.version) in self.versions:
                    raise ConstraintBroken(f"ledger.directive_version {directive.key} {version.payload.version}")
        for case in history.cases.values():
            opened = case.opened
            if opened and (case.case_id in self.cases or opened.public_code in self.public_codes):
                raise ConstraintBroken(f"ledger.case {case.case_id}")

    def write(self, docket: Docket, now: datetime) -> None:
        """Everything that a docket decided."""
        for entry in docket.entries:
            if entry.fresh and entry.claims_id and entry.envelope is not None and entry.content_hash is not None:
                self.event_ids[entry.agency, entry.envelope.id] = entry.content_hash
            self.events[entry.agency, entry.lane_offset] = entry
        placed = [(entry.position, entry) for entry in docket.entries] + docket.notices
        self.order += [(what, now) for _, what in sorted(placed, key=itemgetter(0))]
        for _, notice in docket.notices:  # a gap may be opened and filled in one batch
            self._see_gap(notice)
        for kept in docket.set_aside:
            self.parked[kept.agency, kept.lane_offset] = replace(kept)
            if kept.place and kept.claim.portal:  # whatever really belongs there comes late, if it comes
                epoch, sequence = kept.place
                self.gaps_seen[kept.agency, kept.claim.portal, epoch, sequence, sequence] = None
        self._write_sources(docket.history)
        self._write_aggregates(docket.history)
        for seat in docket.history.released:
            if not seat.fresh:
                del self.waiting[seat.place]
        for seat in _fresh_seats(docket.history):
            self.waiting[seat.place] = replace(seat, fresh=False)
        for kept in docket.history.let_go:
            self.parked[kept.agency, kept.lane_offset].until = None

    def _write_sources(self, history: History) -> None:
        for name, source in history.sources.items():
            self.sources[name] = SourceState(
                source.agency,
                source.portal,
                source.first_heard_at,
                source.last_heard_at,
                source.status,
                source.epoch,
                source.last_sequence,
                source.clock_offset_ms,
                source.held,
                source.held_bytes,
            )
            rows = self.gaps.setdefault(name, {})
            for gap_name in source.changed_gaps:
                gap = source.gaps.get(gap_name)
                if gap is None:
                    rows.pop(gap_name, None)
                else:
                    rows[gap_name] = gap
                    self.gaps_seen.setdefault((*name, gap.epoch, gap.first, gap.last), gap.opened_at)
            for kept in self.parked.values():
                if kept.place in source.refilled and (kept.agency, kept.claim.portal) == name:
                    kept.place = None

    def _write_aggregates(self, history: History) -> None:
        for key, directive in history.directives.items():
            for version in directive.added:
                self.versions[key, version.payload.version] = version
            self.directives[key] = DirectiveState(
                key, directive.agency, directive.version, directive.withdrawn, directive.published_at
            )
        for case_id, case in history.cases.items():
            if case.opened is not None:
                self.public_codes[case.opened.public_code] = case_id
            self.cases[case_id] = replace(
                case, resolved_before=case.is_resolved, opened=None, resolved=None, returned=False, taken=[]
            )

    def hear(self, agency: str, until: datetime) -> None:
        """A worker says that it has heard a lane: what the watch writes."""
        before, since = self.hearing.get(agency, (until, until))
        self.hearing[agency] = (max(before, until), until if until > before + BREAK else since)

    def put_notices(self, placed: Iterable[tuple[int, Notice]], made_at: Callable[[int], datetime]) -> None:
        """Notices that no docket has made."""
        for position, notice in placed:
            if position != len(self.order) + 1:
                raise ConstraintBroken(f"notice at {position}, the order ends at {len(self.order)}")
            self.order.append((notice, made_at(position)))
            self._see_gap(notice)

    def _see_gap(self, notice: Notice) -> None:
        if isinstance(asked := notice.record, ResendRequested):
            place = (asked.agency, asked.portal, asked.epoch, asked.first, asked.last)
            self.gaps_seen.setdefault(place, asked.requested_at)


def _fresh_seats(history: History) -> Iterator[WaitingEvent]:
    rooms = chain(history.waiting.values(), history.held.values())
    return (seat for room in rooms for seat in room if seat.fresh)


def _seat_row(seat: WaitingEvent) -> tuple[Any, ...]:
    return (
        *seat.place,
        seat.key,
        seat.rule,
        seat.rank,
        seat.until,
        seat.received_at,
        seat.value,
        seat.position,
    )
