"""A ledger in memory around the real docket: what the database keeps between batches, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from typing import Any

from portalbus.schemas.directory import AgencyDirectory
from portalbus.streams.judgement.docket import Bounds, Docket, Entry, Item
from portalbus.streams.judgement.history import CaseState, DirectiveState, History, SourceState

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
        docket.expire(now)
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
        return {place: last for place, (last, _) in sorted(self.source(agency, portal).gaps.items())}

    def _docket(self) -> Docket:
        position = self.entries[-1].position + 1 if self.entries else 1
        return Docket(_carried_over(self.history), directory(), position, self.bounds)

    def _keep(self, docket: Docket) -> list[Entry]:
        for case in docket.history.cases.values():
            if case.resolved is not None:
                decided = next(entry for entry in docket.entries if entry.position == case.position)
                self.answers[case.case_id] = (case.answered_by or "", (decided.agency, decided.lane_offset))
        for key, directive in docket.history.directives.items():
            self.titles.setdefault(key, []).extend(version.payload.title for version in directive.added)
        self.history = docket.history
        self.entries += docket.entries
        self.parked += docket.parked
        return docket.entries


def _carried_over(history: History) -> History:
    """The history as a later batch finds it in the database."""
    return History(
        sources={
            name: replace(state, gaps=dict(state.gaps), gaps_changed=False) for name, state in history.sources.items()
        },
        event_ids=dict(history.event_ids),
        directives={
            key: DirectiveState(state.key, state.agency, state.version, state.withdrawn, state.published_at)
            for key, state in history.directives.items()
        },
        cases={
            case_id: CaseState(case.case_id, case.receiver, case.owner, case.is_resolved)
            for case_id, case in history.cases.items()
        },
        public_codes=dict(history.public_codes),
        waiting={key: [replace(seat, fresh=False) for seat in room] for key, room in history.waiting.items() if room},
    )
