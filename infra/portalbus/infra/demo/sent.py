"""What was really sent: one entry a step, written by the portals and the old systems as they go."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass

from portalbus.infra.demo.plan import Step


@dataclass(frozen=True, slots=True)
class Sent:
    """One step that was carried out.

    `called_ns` is when publish() or produce() was called (nanoseconds since 1970), `returned_ns` when it returned.
    `offset` is known at once for records of old systems; for portals the SDK delivers later. `refused` is the rule
    by which the SDK refused it.
    """

    step: Step
    called_ns: int
    returned_ns: int
    event_id: str | None = None
    offset: int | None = None
    refused: str | None = None


class SentLog:
    """Collects what was sent; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_step: dict[int, Sent] = {}

    def note(self, sent: Sent) -> None:
        """One step was carried out."""
        with self._lock:
            self._by_step[sent.step.number] = sent

    def of(self, step: int) -> Sent | None:
        """What was sent for a step, or None when it has not been yet."""
        with self._lock:
            return self._by_step.get(step)

    def all(self) -> list[Sent]:
        """Everything so far."""
        with self._lock:
            return list(self._by_step.values())

    def counts(self) -> Counter[str]:
        """How many events each agency's lane was given."""
        with self._lock:
            return Counter(sent.step.agency for sent in self._by_step.values() if sent.refused is None)
