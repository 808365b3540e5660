"""What would be published now, and why something would not: a look that sends and remembers nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from portalbus.connectors.pull.comparing import Decided, Outcome, Refused
from portalbus.connectors.pull.entry import Entry
from portalbus.connectors.pull.found import Remark
from portalbus.connectors.pull.kind import Surroundings
from portalbus.connectors.pull.looking import look
from portalbus.connectors.pull.remembered import Alert
from portalbus.connectors.pull.workers import Workers
from portalbus.schemas.errors import PortalbusError

MOST_TRIED = 1_000
"""So many items say enough of a source that gives them in batches."""


@dataclass(slots=True)
class Trial:
    """What a pass over one source would do now."""

    entry: str
    kind: str
    events: Sequence[Decided] = ()
    refused: Sequence[Refused] = ()
    remarks: Sequence[Remark] = ()
    alert: Alert | None = None
    unchanged: int = 0
    failed: str = ""

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong: it can be read, no rule refuses anything, and no alert is raised."""
        return not self.failed and not self.refused and self.alert is None

    def plain(self, language: str = "en") -> dict[str, Any]:
        """The same as JSON data."""
        return {
            "portal": self.entry,
            "kind": self.kind,
            "failed": self.failed or None,
            "alert": {"rule": self.alert.rule, "text": self.alert.text} if self.alert else None,
            "would_publish": [
                {
                    "what": decided.what.value,
                    "item": decided.item_id,
                    "event_id": decided.event_id,
                    "event_type": decided.payload.event_type,
                    "payload": decided.payload.model_dump(mode="json", exclude_none=True),
                }
                for decided in self.events
            ],
            "would_refuse": [
                {
                    "item": refused.item_id,
                    "url": refused.url,
                    "findings": [
                        {
                            "rule": finding.rule,
                            "path": finding.path,
                            "message": getattr(finding.message, language),
                            "mend": getattr(finding.mend, language) if finding.mend else None,
                        }
                        for finding in refused.findings
                    ],
                }
                for refused in self.refused
            ],
            "unchanged": self.unchanged,
            "remarks": [{"place": remark.place, "text": remark.text} for remark in self.remarks],
        }


def try_all(wanted: Sequence[Entry], surroundings: Surroundings, workers: int = 8) -> list[Trial]:
    """Tries several sources at once; the trials in their order."""
    threads = Workers(min(workers, len(wanted)) or 1, "try")
    done: SimpleQueue[tuple[int, Trial]] = SimpleQueue()
    for number, entry in enumerate(wanted):
        threads.put(lambda number=number, entry=entry: done.put((number, try_one(entry, surroundings))))  # type: ignore[misc]
    found = dict(done.get() for _ in wanted)
    return [found[number] for number in sorted(found)]


def try_one(entry: Entry, surroundings: Surroundings) -> Trial:
    """Looks at a source as a pass would. Raises nothing: what is wrong is in the trial."""
    trial = Trial(entry.name, entry.config.kind)
    try:
        memory, _ = entry.memory.load()
        # Without conditions, so that something is to be seen even when nothing changed since the last pass.
        with look(entry, memory, surroundings, afresh=True) as looked:
            _fill(trial, looked.outcome)
            while looked.reading.more and len(trial.events) + len(trial.refused) < MOST_TRIED:
                looked = looked.go_on(looked.outcome.memory)
                _fill(trial, looked.outcome)
    except PortalbusError as error:
        trial.failed = str(error)
    except Exception as error:  # one faulty kind must not hide what the others say
        trial.failed = f"unexpected {type(error).__name__}: {error}"
    return trial


def _fill(trial: Trial, outcome: Outcome) -> None:
    trial.events = [*trial.events, *outcome.events]
    trial.refused = [*trial.refused, *outcome.refused]
    trial.remarks = [*trial.remarks, *outcome.remarks]
    trial.alert = outcome.memory.alert
    trial.unchanged += outcome.unchanged
