"""What a body owes a citizen by a certain time, and the dated term that says by when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from portalbus.schemas.dated import in_force


class Duty(StrEnum):
    """What is owed. Each is met by an event of the case; see `facts.py`."""

    ACKNOWLEDGE = "ACKNOWLEDGE"
    """Of an urgent case: a named authority says that it has it."""
    PASS_ON = "PASS_ON"  # noqa: S105 - a duty
    """The body that has it takes it up, or passes it on to the competent one."""
    REFUSE = "REFUSE"
    """A refusal is told; owed only by who refuses."""
    ANSWER = "ANSWER"
    PROGRESS = "PROGRESS"
    """After the answer's term is over: a notice of how things stand, again and again."""
    PUBLISH = "PUBLISH"
    CHILDREN = "CHILDREN"
    """Of a case that was split: who split it receives each of its children."""


class Unit(StrEnum):
    """What a term is counted in."""

    WORKING_DAYS = "working days"
    CALENDAR_DAYS = "calendar days"
    MINUTES = "minutes"


class Basis(StrEnum):
    """Where a number comes from."""

    LAW = "law"
    HOUSE = "house"
    """No law gives a number: what this project proposes, and an installation decides."""


@dataclass(frozen=True, slots=True)
class Term:
    """One term of one regime: in force for cases received from `valid_from` to `valid_to` (its last day).

    `agency` narrows it to the cases of one first-level agency, such as a city with rules of its own; empty for all.
    """

    rule: str
    regime: str
    duty: Duty
    length: int
    unit: Unit
    valid_from: date
    valid_to: date | None
    agency: str
    basis: Basis
    legal_basis: str
    confidence: str

    def holds(self, on: date, agency: str) -> bool:
        """True for a case of this first-level agency received on that day."""
        return in_force(on, self.valid_from, self.valid_to) and self.agency in ("", agency)


@dataclass(frozen=True, slots=True)
class Regime:
    """A legal rule set: how days are counted, and what may stretch a term.

    `pauses`: the clock stands while clarification is asked. An answer's term may be extended `extensions` times, each
    time by `extension_length` at most, in the unit of the answer's term.
    """

    id: str
    scope: dict[str, str]
    """Title in vi, en and zh."""
    legal_basis: str
    starts_day_after: bool
    ends_on_working_day: bool
    pauses: bool
    extensions: int
    extension_length: int
