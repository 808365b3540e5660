"""What is said of an alert at one time: that it begins, that it has changed, that it is over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from portalbus.schemas.notices import Alert, AlertStatus


class Turn(StrEnum):
    """What becomes of an alert."""

    OPENED = "opened"
    UPDATED = "updated"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Saying:
    """An alert as it was told at a position of the ledger."""

    alert: Alert
    position: int
    made_at: datetime

    @property
    def turn(self) -> Turn:
        """An open alert that is told later than it was raised has changed."""
        if self.alert.status is AlertStatus.CLOSED:
            return Turn.CLOSED
        return Turn.UPDATED if self.made_at > self.alert.raised_at else Turn.OPENED

    @property
    def first_id(self) -> str:
        """The id under which the alert was said first."""
        return f"{self.alert.id}.open"

    @property
    def id(self) -> str:
        """The same for the same words said once more, and another one for others: who has seen it may pass over it."""
        match self.turn:
            case Turn.OPENED:
                return self.first_id
            case Turn.UPDATED:
                return f"{self.first_id}.{self.position}"
        return f"{self.alert.id}.closed"
