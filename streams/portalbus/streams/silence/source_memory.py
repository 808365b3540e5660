"""What is remembered of a source itself: when it began to be present, whether it is a service, its absences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from portalbus.schemas.working_time import WorkingTime
from portalbus.streams.silence.cadence import Cadence
from portalbus.streams.silence.deadlines import (
    PATIENCE,
    SERVICE_AFTER,
    Deadlines,
    Patience,
    absence_deadlines,
    promised_deadlines,
)


@dataclass(slots=True)
class SourceMemory:
    """One source. `promise_s` is what its last manifest promised: seconds, 0 for a good-bye, None for no manifest."""

    heard_at: datetime
    promise_s: int | None = None
    absences: Cadence = field(default_factory=Cadence)
    present_since: datetime | None = None
    service: bool = False

    def hear(self, heard_at: datetime, promise_s: int | None, working: WorkingTime) -> None:
        """Takes in that the source was heard, and what it promises now."""
        if heard_at > self.heard_at and not self.promise_s:
            self.absences.learn(max(working.between(self.heard_at, heard_at), 0))
        if promise_s:
            self.present_since = self.present_since or heard_at
            self.service = self.service or heard_at - self.present_since >= SERVICE_AFTER
        else:
            self.present_since = None
        self.heard_at, self.promise_s = max(heard_at, self.heard_at), promise_s

    def deadlines(self, working: WorkingTime, patience: Patience = PATIENCE) -> Deadlines:
        """By when it should be heard again."""
        if self.promise_s:
            return promised_deadlines(self.promise_s, self.heard_at, patience)
        return absence_deadlines(self.absences, self.service, self.heard_at, working, patience)

    def as_json(self) -> dict[str, Any]:
        """What is stored beside `heard_at` and `promise_s`."""
        since = self.present_since.isoformat() if self.present_since else None
        return {"absences": self.absences.as_json(), "present_since": since, "service": self.service}

    @classmethod
    def from_json(cls, heard_at: datetime, promise_s: int | None, stored: Mapping[str, Any]) -> SourceMemory:
        """What was stored."""
        since = stored.get("present_since")
        return cls(
            heard_at,
            promise_s,
            Cadence.from_json(stored.get("absences", {})),
            datetime.fromisoformat(since) if since else None,
            bool(stored.get("service")),
        )
