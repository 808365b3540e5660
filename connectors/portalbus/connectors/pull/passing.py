"""One pass over a source: what is left from before goes out, then a look, then what it decided goes out."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from portalbus.connectors.pull.comparing import Outcome
from portalbus.connectors.pull.entry import Entry
from portalbus.connectors.pull.kind import NotYet, Surroundings
from portalbus.connectors.pull.looking import look
from portalbus.connectors.pull.memory import Pending, Standing
from portalbus.connectors.pull.remembered import Alert
from portalbus.producers import EventRefused, Receipt
from portalbus.producers.draft import payload_from_json
from portalbus.schemas.errors import PortalbusError
from portalbus.schemas.models import Payload

LONGEST_BACKOFF = 6 * 3_600.0
LEAST_BACKOFF = 30.0
SOON = 10.0
MOST_TOLD = 1_000
"""So many refusals and remarks of one pass say enough."""


class Speaker(Protocol):
    """Who publishes for a portal: the SDK's `Portal`."""

    def publish(self, payload: Payload, *, event_id: str, occurred_at: datetime) -> Receipt:
        """Publishes one event durably; the same id again gets the first receipt."""
        ...


@dataclass(slots=True)
class PassReport:
    """What one pass did. `postponed` says why it did not take place; `failed` what went wrong, `crashed` where."""

    entry: str
    published: int = 0
    outcome: Outcome | None = None
    alert_before: Alert | None = None
    taken_back: list[tuple[str, str]] = field(default_factory=list)
    failed: str = ""
    postponed: str = ""
    failures: int = 0
    recovered: bool = False
    crashed: BaseException | None = None
    seconds: float = 0.0
    due_in: float = 0.0


def make_pass(entry: Entry, surroundings: Surroundings, speaker: Speaker) -> PassReport:
    """One pass; whatever goes wrong is in the report, so that it concerns this source alone."""
    report = PassReport(entry.name)
    started = time.monotonic()
    now = surroundings.clock()
    standing = Standing()
    try:
        memory, standing = entry.memory.load()
        report.alert_before = memory.alert
        report.due_in = entry.config.every
        send_pending(entry, speaker, report)
        afresh = standing.settings != entry.settings
        with look(entry, memory, surroundings, afresh=afresh) as looked:
            report.recovered = standing.failures > 0
            while True:
                after = _after(entry, standing, now, more=looked.reading.more)
                entry.memory.decide(looked.outcome, standing, after)
                report.outcome = _together(report.outcome, looked.outcome)
                looked.source.settled(looked.reading, looked.outcome)
                if not looked.reading.more:
                    break
                send_pending(entry, speaker, report)
                standing = replace(after, revision=standing.revision + 1)
                looked = looked.go_on(looked.outcome.memory)
        send_pending(entry, speaker, report)
    except NotYet as later:
        report.postponed = str(later)
        report.due_in = max(later.retry_after or 0.0, SOON)
        _note(entry, replace(standing, due_at=now + timedelta(seconds=report.due_in)))
    except PortalbusError as error:
        _fail(entry, report, standing, now, str(error), getattr(error, "retry_after", None))
    except Exception as error:  # a fault in a kind must not end the others
        report.crashed = error
        _fail(entry, report, standing, now, f"unexpected {type(error).__name__}; see the log", None)
    report.seconds = time.monotonic() - started
    return report


def _after(entry: Entry, standing: Standing, now: datetime, *, more: bool) -> Standing:
    """How the source stands after a reading; while more is to be read it is due at once, under the settings before."""
    due_at = now if more else now + timedelta(seconds=entry.config.every)
    return Standing(read_at=now, due_at=due_at, settings=standing.settings if more else entry.settings)


def _together(before: Outcome | None, now: Outcome) -> Outcome:
    """What is to be told of several readings of one pass: the first refusals and remarks, and all counts."""
    if before is None:
        return now
    refused = [*before.refused, *now.refused][:MOST_TOLD]
    remarks = [*before.remarks, *now.remarks][:MOST_TOLD]
    return replace(now, events=[], refused=refused, remarks=remarks, unchanged=before.unchanged + now.unchanged)


def send_pending(entry: Entry, speaker: Speaker, report: PassReport) -> None:
    """Publishes what was decided and is not in the outbox yet, oldest first. Raises what publishing raises."""
    while batch := entry.memory.pending():
        sent: list[int] = []
        try:
            for pending in batch:
                _send(entry, speaker, pending, report)
                sent.append(pending.place)
        finally:
            entry.memory.confirm(sent)
        report.published += len(sent)


def _send(entry: Entry, speaker: Speaker, pending: Pending, report: PassReport) -> None:
    try:
        payload = payload_from_json(pending.event_type, pending.payload)
        speaker.publish(payload, event_id=pending.event_id, occurred_at=pending.occurred_at)
    except EventRefused as refusal:
        # It passed the same rules when it was decided; since then time or the directory of agencies went on.
        reasons = tuple(finding.explain() for finding in refusal.findings)
        entry.memory.take_back(pending, reasons)
        report.taken_back.append((pending.item_id, reasons[0]))
        report.published -= 1


def _fail(
    entry: Entry, report: PassReport, standing: Standing, now: datetime, said: str, retry_after: float | None
) -> None:
    failures = standing.failures + 1
    wait = max(entry.config.every, LEAST_BACKOFF) * 2 ** min(failures - 1, 16)
    report.failed, report.failures = said, failures
    report.due_in = max(min(wait, max(LONGEST_BACKOFF, entry.config.every)), retry_after or 0.0)
    noted = replace(
        standing, failures=failures, failure=said, failed_at=now, due_at=now + timedelta(seconds=report.due_in)
    )
    _note(entry, noted)


def _note(entry: Entry, standing: Standing) -> None:
    try:
        entry.memory.note(standing)
    except PortalbusError:
        return  # the memory is what failed; the report says so
