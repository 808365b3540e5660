"""The receiving end of the kit: a bus that can be disturbed, and that tells what it has taken in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from portalbus.connectors.conformance.lane_view import Arrived
from portalbus.connectors.conformance.scenario import Disturb, Disturbance


@dataclass(frozen=True)
class Request:
    """One request of the portal, as the receiving end saw it; `at` in seconds, `status` None when it was not answered.

    `event_ids` are those it carried. `decomposed` tells that a text in it was not in the normal form NFC.
    """

    at: float
    status: int | None
    event_ids: tuple[str, ...]
    retry_after: float | None = None
    decomposed: bool = False


class Door(Protocol):
    """One way into the bus."""

    name: str
    disturbances: frozenset[Disturbance]
    """What it can be made to do."""

    def settings(self, agency: str, portal: str) -> dict[str, Any]:
        """What the portal has to know to find it, as the step `connect` says it."""

    def disturb(self, disturbance: Disturb) -> None:
        """Misbehaves from now on."""

    def heal(self) -> None:
        """Behaves."""

    def taken(self) -> list[Arrived]:
        """What stands on the agency's lane."""

    def requests(self) -> Sequence[Request]:
        """What the portal asked so far, where that can be seen."""

    def close(self) -> None:
        """Lets go of everything."""
