"""When a portal of another kind has published: its outbox says so, as it does for a portal with the SDK."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from portalbus.infra.demo.plan import Step
from portalbus.infra.demo.sent import Sent, SentLog
from portalbus.producers.outbox import Outbox, outbox_path
from portalbus.producers.settings import Bounds
from portalbus.schemas.models import aggregate_key

MOST = 10**9
NS_PER_MS = 1_000_000


class Arrivals:
    """Looks into the outbox of one source, from where it stands now on: which steps have become events.

    The events of one document or case are the steps about it, in their order.
    """

    def __init__(self, folder: Path, agency: str, portal: str, steps: Sequence[Step], log: SentLog) -> None:
        self._outbox = Outbox(folder, agency, portal, Bounds())
        self._there = outbox_path(folder, agency, portal)
        self._log = log
        self._steps: dict[str, list[Step]] = defaultdict(list)
        for step in steps:
            self._steps[aggregate_key(agency, step.payload)].append(step)
        self._seen: Counter[str] = Counter()
        self._after = self._outbox.source_row().last_sequence if self._there.exists() else 0

    def look(self) -> None:
        """Notes what was published since the last look."""
        if not self._there.exists():
            return
        for event in self._outbox.events(self._after + 1, MOST):
            self._after = event.sequence
            steps = self._steps.get(event.key, [])
            number = self._seen[event.key]
            if number < len(steps):
                self._seen[event.key] += 1
                at = event.published_at * NS_PER_MS
                self._log.note(Sent(steps[number], at, at, event_id=_text(event.event_id)))

    def close(self) -> None:
        """Lets go of the file."""
        self._outbox.close()


def _text(event_id: bytes) -> str:
    from portalbus.producers.stored_event import id_text

    return id_text(event_id)
