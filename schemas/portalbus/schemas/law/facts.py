"""What the law's clock has to know of a case: no text, no person, only what happened when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, slots=True)
class Pause:
    """Clarification was asked, or an answer lay with the centre until returned; `until` is None while it lasts."""

    since: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Extension:
    """The agency told, with its reason, that the answer will be due on another day."""

    told: datetime
    due_on: date


@dataclass(frozen=True, slots=True)
class Climb:
    """An urgent case climbs level after level until somebody says that they have it, it ends, or is urgent no more."""

    since: datetime
    acknowledged: datetime | None = None
    ended: datetime | None = None


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """One clock of a case: it starts when a body receives the case, and anew when another one does or it is reopened.

    `agency` is the body that has it; `acting` is who acts for it, empty for itself; `ladder` are those who have to
    acknowledge it one after the other while it is urgent, empty for the usual ones. All moments are aware.
    """

    regime: str
    agency: str
    received: datetime
    passed_on: datetime | None = None
    """Taken up, or passed on to another body."""
    answered: datetime | None = None
    refused: datetime | None = None
    published: datetime | None = None
    ended: datetime | None = None
    """Left this body or came to an end in any way: nothing is owed from then on but what was owed before."""
    is_private: bool = False
    """The answer is for who asked alone: nothing is to be published."""
    pauses: tuple[Pause, ...] = ()
    extensions: tuple[Extension, ...] = ()
    progress_told: tuple[datetime, ...] = ()
    climbs: tuple[Climb, ...] = ()
    """Each time that it became urgent. A body that passes it on without a word leaves its climb running."""
    passed_to_another: datetime | None = None
    """When another body got it."""
    acting: str = ""
    ladder: tuple[str, ...] = ()
    split: datetime | None = None
    children_received: datetime | None = None
    """When the last child of a split came; None while one is missing."""
