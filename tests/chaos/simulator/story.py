"""What the portals of a simulation have to say: documents and cases that a sound bus accepts every one of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

from bus_events import answer, directive, event_id, progress, receipt, withdrawal
from portalbus.schemas.models import CaseStep, Payload
from simulator.clock import NOON

MOST_VERSIONS = 6
LONG_AGO = NOON - timedelta(days=7)
"""When cases came and were answered: the past by any portal's clock."""


@dataclass
class Said:
    """One event: what a portal says, and what was promised about it."""

    event_id: str
    source: str
    key: str
    payload: Payload
    promised: tuple[int, int] | None = None
    """Epoch and sequence that `publish()` has returned."""


@dataclass
class _Document:
    portal: str
    name: str
    version: int = 0
    withdrawn: bool = False


@dataclass
class _Case:
    case_id: str
    answering: tuple[str, ...]
    had: tuple[str, ...]
    """Who had it so far; the last one has it."""
    last: str
    """Who passes it on has heard this event: its receipt, or that it was passed on before."""


def nobody_hears(event_id: str) -> bool:
    """Where portals do not listen to each other, no case is passed on."""
    return False


@dataclass
class Story:
    """Makes up events; each is said by one portal, and only after what it follows from.

    `heard` tells of an event id whether all portals have heard of it by now: who passes a case on, and who has it then,
    speaks of what has taken effect.
    """

    random: Random
    agencies: tuple[str, ...]
    said: dict[str, Said] = field(default_factory=dict)
    heard: Callable[[str], bool] = nobody_hears
    _documents: list[_Document] = field(default_factory=list)
    _cases: list[_Case] = field(default_factory=list)

    def next(self, source: str) -> Said:
        """The next thing that this source says."""
        agency = source.split("/")[0]
        number = len(self.said)
        key, payload = self._made_up(agency, source, number)
        said = Said(event_id(number), source, key, payload)
        self.said[said.event_id] = said
        return said

    def _made_up(self, agency: str, source: str, number: int) -> tuple[str, Payload]:
        kind = self.random.random()
        open_cases = [
            case for case in self._cases if agency in case.answering and (len(case.had) == 1 or self.heard(case.last))
        ]
        if kind < 0.12 and (passing := self._to_pass_on(agency)):
            case, to = self.random.choice(passing)
            case.answering, case.had, case.last = (case.answering[0], to), (*case.had, to), event_id(number)
            return case.case_id, progress(CaseStep.TRANSFERRED, case.case_id, to_agency=to, at=LONG_AGO)
        if kind < 0.25 and open_cases:
            case = self.random.choice(open_cases)
            self._cases.remove(case)
            return case.case_id, answer(case.case_id, answer=f"Trả lời {number}.", answered_at=LONG_AGO)
        if kind < 0.5:
            addressed = self.random.choice(self.agencies)
            case = _Case(f"{agency}-{number:05}", (agency, addressed), (addressed,), event_id(number))
            self._cases.append(case)
            return case.case_id, receipt(case.case_id, number, addressed_to=addressed, received_at=LONG_AGO)
        return self._document(agency, source, number)

    def _to_pass_on(self, agency: str) -> list[tuple[_Case, str]]:
        """Cases that this body has, each with a body that did not have it yet."""
        mine = [case for case in self._cases if case.had[-1] == agency and self.heard(case.last)]
        return [(case, to) for case in mine for to in self.agencies if to not in case.had]

    def _document(self, agency: str, source: str, number: int) -> tuple[str, Payload]:
        known = [one for one in self._documents if one.portal == source and not one.withdrawn]
        if known and self.random.random() < 0.6:
            document = self.random.choice(known)
        else:
            document = _Document(source, f"d-{number}")
            self._documents.append(document)
        document.version += 1
        title = f"Văn bản {number}"
        key = f"{agency}/{document.name}"
        if document.version > 1 and (document.version == MOST_VERSIONS or self.random.random() < 0.1):
            document.withdrawn = True
            return key, withdrawal(document.name, document.version, title=title)
        return key, directive(document.name, document.version, title=title)
