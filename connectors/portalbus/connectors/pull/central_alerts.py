"""Tells the centre what pull connectors raise: rows of the ledger's alerts, and notices on `central.alert`.

Only a connector process that runs at the centre knows the ledger. One that runs elsewhere has its log and
`portalbus connect status`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from psycopg import Connection

from portalbus.connectors.pull.passing import PassReport
from portalbus.streams.ledger.alerts import Concern, Raise, tell_alerts
from portalbus.streams.ledger.database import BOUNDED, Session

log = structlog.get_logger(__name__)

MISSING = "portal.items-missing"
UNREADABLE = "portal.unreadable"
KINDS = (MISSING, UNREADABLE)
FAILURES = 3
"""So often in a row a portal could not be read before people hear of it: pauses double, so that is some time."""
STOP_S = 5.0
OPEN = "select kind, agency, portal from ledger.alert where closed_at is null and kind = any(%s) and agency = any(%s)"


@dataclass(frozen=True, slots=True)
class _Standing:
    """What is wrong with one entry now: since when, by which kind of alert."""

    missing: datetime | None = None
    failing: datetime | None = None


class _Stopping(Exception):
    """Ends a wait for a database that is away."""


class CentralAlerts:
    """Keeps the ledger's alerts in step with what the passes report, in a thread of its own.

    `entries` names each entry's agency and portal. Alerts are compared with what is open: telling one again, by this
    process or the next, changes nothing.
    """

    def __init__(self, database_url: str, entries: Mapping[str, tuple[str, str]]) -> None:
        self._entries = entries
        self._standing: dict[str, _Standing] = {}
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._stopping = threading.Event()
        self._session = Session(database_url, application="connect", options=BOUNDED, pause=self._pause)
        self._thread = threading.Thread(target=self._run, name="pull-alerts", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Tells what is left to tell, when the database lets it, and ends."""
        self._stopping.set()
        self._changed.set()
        self._thread.join(STOP_S)

    def hear(self, report: PassReport) -> None:
        """Takes in how a pass over an entry ended."""
        if report.postponed:
            return
        with self._lock:
            before = self._standing.get(report.entry, _Standing())
            self._standing[report.entry] = _standing(report, before)
        self._changed.set()

    def _run(self) -> None:
        told: dict[str, _Standing] = {}
        while True:
            self._changed.wait()
            self._changed.clear()
            with self._lock:
                standing = dict(self._standing)
            if standing != told:
                try:
                    self._session.transact(lambda connection, now=standing: self._tell(connection, now))  # type: ignore[misc]
                    told = standing
                except _Stopping:
                    pass
                except Exception as error:  # the reading goes on; the next pass brings the next try
                    log.warning("connect.alerts-not-told", error=type(error).__name__)
            if self._stopping.is_set():
                self._session.close()
                return

    def _tell(self, connection: Connection[Any], standing: Mapping[str, _Standing]) -> None:
        wanted: dict[Concern, Raise] = {}
        for entry, one in sorted(standing.items()):
            agency, portal = self._entries[entry]
            for kind, since in ((MISSING, one.missing), (UNREADABLE, one.failing)):
                if since is not None:
                    concern = Concern(kind, agency, portal)
                    wanted.setdefault(concern, Raise(concern, since, params={"entry": entry}))
        agencies = sorted({agency for agency, _ in self._entries.values()})
        open_ = {Concern(*row) for row in connection.execute(OPEN, (list(KINDS), agencies))}
        over = [concern for concern in open_ - wanted.keys() if self._all_heard(concern, standing)]
        raised = [one for concern, one in wanted.items() if concern not in open_]
        if raised or over:
            tell_alerts(connection, raised, over)

    def _all_heard(self, concern: Concern, standing: Mapping[str, _Standing]) -> bool:
        """Whether every entry of a source was read since the start: until then an alert of before may still hold."""
        ours = [entry for entry, place in self._entries.items() if place == (concern.agency, concern.portal)]
        return bool(ours) and all(entry in standing for entry in ours)

    def _pause(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise _Stopping


def _standing(report: PassReport, before: _Standing) -> _Standing:
    """How an entry stands after a pass. A failed pass says nothing of what is missing."""
    if report.failed:
        failing = before.failing or datetime.now(UTC)
        return _Standing(before.missing, failing if report.failures >= FAILURES else None)
    alert = report.outcome.memory.alert if report.outcome is not None else None
    return _Standing(alert.since if alert is not None else None)
