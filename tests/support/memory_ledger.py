"""A ledger in memory around the real docket: what the database keeps between batches, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from typing import Any

from portalbus.schemas.directory import AgencyDirectory
from portalbus.streams.judgement.bounds import Bounds
from portalbus.streams.judgement.docket import Content, Docket, Entry, Item, lane_time
from portalbus.streams.judgement.gaps import Gap, give_up
from portalbus.streams.judgement.history import CaseState, DirectiveState, History, SourceState
from portalbus.streams.judgement.notice import Notice
from portalbus.streams.judgement.parked import claim_of
from portalbus.streams.judgement.redrive import ParkedDocket

Place = tuple[str, int]


@lru_cache(maxsize=1)
def directory() -> AgencyDirectory:
    """The agencies that ship with the package."""
    return AgencyDirectory.read()


@dataclass
class MemoryLedger:
    """Takes batches in. `entries` are all judgements so far, in ledger order."""

    bounds: Bounds = field(default_factory=Bounds)
    history: History = field(default_factory=History)
    entries: list[Entry] = field(default_factory=list)
    parked: list[Any] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    next_position: int = 1
    answers: dict[str, tuple[str, Place]] = field(default_factory=dict)
    """Who answered a case, and which record did."""
    titles: dict[str, list[str]] = field(default_factory=dict)
    """The titles of each directive's accepted versions, in the order in which they were accepted."""

    def take(self, *items: Item) -> list[Entry]:
        """Judges one batch; returns what was decided in it."""
        docket = self._docket()
        docket.hear(items)
        return self._keep(docket)

    def take_in_batches(self, items: Sequence[Item], cuts: Iterable[int] = ()) -> None:
        """Judges these items, cut into batches before each index in `cuts`."""
        edges = sorted({0, len(items), *(cut for cut in cuts if 0 < cut < len(items))})
        for start, end in pairwise(edges):
            self.take(*items[start:end])

    def expire(self, now: datetime) -> list[Entry]:
        """Refuses what has waited too long."""
        docket = self._docket()
        docket.expire(lambda _: now)
        return self._keep(docket)

    def expire_heard(self, heard_until: Mapping[str, datetime]) -> list[Entry]:
        """Refuses what has waited too long, where each lane was heard up to another moment."""
        docket = self._docket()
        docket.expire(heard_until.__getitem__)
        return self._keep(docket)

    def verdicts(self) -> dict[Place, list[str]]:
        """The rules that decided on each record, in the order in which they did."""
        found: dict[Place, list[str]] = {}
        for entry in self.entries:
            found.setdefault((entry.agency, entry.lane_offset), []).append(entry.decision.rule)
        return found

    def state(self) -> dict[str, Any]:
        """Directives and cases as they stand now."""
        return {
            "directives": {
                key: (state.version, state.withdrawn) for key, state in sorted(self.history.directives.items())
            },
            "cases": {
                case_id: (case.receiver, case.owner, case.is_resolved)
                for case_id, case in sorted(self.history.cases.items())
            },
        }

    def source(self, agency: str, portal: str = "www") -> SourceState:
        """What is known of a source."""
        return self.history.sources[agency, portal]

    def gaps(self, agency: str, portal: str = "www") -> dict[tuple[int, int], int]:
        """The gaps of a source: (epoch, first) to last."""
        return {name: gap.last for name, gap in sorted(self.source(agency, portal).gaps.items())}

    def close_gap(self, agency: str, gap: Gap, portal: str = "www") -> None:
        """Gives a gap up, as an operator does."""
        source = self.source(agency, portal)
        source.put_gap(give_up(gap, source.held > 0))

    def pass_time(self, agency: str, now: datetime) -> list[Entry]:
        """Ends the holds of a lane that are over; everything of it up to `now` was taken in."""
        docket = self._docket()
        docket.pass_time(agency, now)
        return self._keep(docket)

    def redrive(self, item: Item, content: Content, now: datetime) -> list[Entry]:
        """Judges a parked record again, now that it reads as this content."""
        docket = self._parked_docket()
        docket.redrive(item.record, content, claim_of(item.record), now)
        return self._keep(docket)

    def discard(self, item: Item, now: datetime) -> list[Entry]:
        """Sets a parked record aside for good."""
        docket = self._parked_docket()
        record = item.record
        docket.discard(record.agency, record.offset, lane_time(record.timestamp_ms), claim_of(record), now)
        return self._keep(docket)

    def _parked_docket(self) -> ParkedDocket:
        return ParkedDocket(_carried_over(self.history), directory(), self.next_position, self.bounds)

    def _docket(self) -> Docket:
        return Docket(_carried_over(self.history), directory(), self.next_position, self.bounds)

    def _keep(self, docket: Docket) -> list[Entry]:
        for case in docket.history.cases.values():
            if case.resolved is not None:
                decided = next(entry for entry in docket.entries if entry.position == case.position)
                self.answers[case.case_id] = (case.answered_by or "", (decided.agency, decided.lane_offset))
        for key, directive in docket.history.directives.items():
            self.titles.setdefault(key, []).extend(version.payload.title for version in directive.added)
        self.history = docket.history
        self.entries += docket.entries
        self.notices += [notice for _, notice in docket.notices]
        self.next_position = docket.next_position
        self.parked += docket.parked
        return docket.entries


def _carried_over(history: History) -> History:
    """The history as a later batch finds it in the database."""
    return History(
        sources={
            name: replace(
                state,
                gaps=dict(state.gaps),
                changed_gaps=set(),
                gone_before=None,
                set_aside=set(state.set_aside),
                refilled=set(),
            )
            for name, state in history.sources.items()
        },
        event_ids=dict(history.event_ids),
        directives={
            key: DirectiveState(state.key, state.agency, state.version, state.withdrawn, state.published_at)
            for key, state in history.directives.items()
        },
        cases={
            case_id: CaseState(
                case.case_id,
                case.receiver,
                case.owner,
                case.is_resolved,
                case.stage,
                case.passed,
                case.steps,
                case.heard_at,
                case.published_at,
                case.urgent,
            )
            for case_id, case in history.cases.items()
        },
        public_codes=dict(history.public_codes),
        parked={name: [kept for kept in held if kept.until] for name, held in history.parked.items()},
        held={name: [replace(seat, fresh=False) for seat in room] for name, room in history.held.items() if room},
        waiting={key: [replace(seat, fresh=False) for seat in room] for key, room in history.waiting.items() if room},
    )
