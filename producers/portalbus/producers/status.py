"""How a portal's outbox is doing, in figures and in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class PortalStatus:
    """One look at an outbox; the same in every process that uses it.

    `held` events wait behind a dead one of the same key. `fill` is the fullest of the outbox's bounds, from 0 to 1.
    """

    agency: str
    portal: str
    epoch: int
    last_sequence: int
    delivered_sequence: int
    undelivered: int
    delivered: int
    dead: int
    held: int
    oldest_undelivered_age: timedelta | None
    outbox_bytes: int
    outbox_bytes_bound: int
    fill: float
    deliverer_pid: int | None
    last_error: str | None
    last_error_at: datetime | None
    damaged: str | None

    @property
    def healthy(self) -> bool:
        """False when somebody should look: damage, dead events, an error, or an outbox more than half full."""
        return self.damaged is None and self.last_error is None and not self.dead and self.fill < 0.5
