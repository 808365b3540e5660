"""A real ledger and a caseworker over it, with a clock of the test's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import psycopg

from bus_events import NOON, Lane, writers
from ledger_facts import rows
from memory_ledger import directory
from portalbus.schemas.law.calendar import WorkingCalendar
from portalbus.schemas.law.competence import Competence
from portalbus.schemas.law.regimes import Regimes
from portalbus.schemas.models import Payload
from portalbus.streams.casework.caseworker import Caseworker
from portalbus.streams.casework.deriving import Law
from portalbus.streams.judgement.docket import Item
from portalbus.streams.ledger.database import connect
from portalbus.streams.ledger.ledger import Ledger

FOLDED = {
    "case": "select case_id, owner, urgency, state, position, life from casework.case order by case_id",
    "handling": "select * from casework.handling order by case_id, number",
    "deadline": "select * from casework.deadline order by case_id, handling, duty, number",
    "routing": "select * from casework.routing order by case_id",
    "escalation": "select * from casework.escalation order by case_id, handling, duty, number",
}
"""Everything in casework that is a fold."""


class CaseworkBench:
    """What agencies say goes through judgement into the ledger; then the caseworker looks at it."""

    def __init__(self, url: str, ledger: Ledger, look: psycopg.Connection[Any]) -> None:
        self.url = url
        self.look = look
        self.now = NOON
        self._ledger = ledger
        self._lanes: dict[str, Lane] = {}
        self.calendar, self.regimes = WorkingCalendar.read(), Regimes.read()
        self.bodies, self.rules = directory(), Competence.read()
        self.patience = timedelta(0)
        self.slice = 7
        self._connection = connect(url, application="casework", autocommit=True)
        self.worker = self.caseworker()

    def caseworker(self) -> Caseworker:
        """A caseworker as a process has it when it starts."""
        found = Caseworker(
            self._connection,
            writers(),
            Law(0, self.calendar, self.regimes, self.bodies, self.rules),
            patience=self.patience,
            clock=lambda: self.now,
            slice_=self.slice,
        )
        found.start()
        return found

    def kill(self) -> None:
        """The caseworker's process is gone, its transaction and all that it had in mind with it."""
        pid = self._connection.info.backend_pid
        self.look.execute("select pg_terminate_backend(%s)", (pid,))

    def restart(self) -> None:
        """Another process in its place."""
        self._connection.close()
        self._connection = connect(self.url, application="casework", autocommit=True)
        self.worker = self.caseworker()

    def close(self) -> None:
        """Closes the caseworker's connection."""
        self._connection.close()

    def say(self, agency: str, *payloads: Payload, at: datetime | None = None) -> None:
        """An agency says something on its lane, at this moment of the broker's clock."""
        lane = self._lanes.get(agency)
        if lane is None:
            lane = self._lanes[agency] = Lane(agency)
            lane.now = self.now
            self._ledger.open_lanes([agency])
        lane.now = at or max(lane.now, self.now)
        self._ledger.take_in([lane.say(payload, occurred_at=lane.now, published_at=lane.now) for payload in payloads])
        refused = rows(self.look, "select key, status, rule from ledger.event where status <> 'ACCEPTED'")
        assert not refused, refused

    def take_in(self, agencies: Sequence[str], items: Sequence[Item]) -> None:
        """These records of lanes that are told elsewhere, refused ones among them."""
        self._ledger.open_lanes([agency for agency in agencies if agency not in self._lanes])
        self._ledger.take_in(items)

    def work(self, now: datetime | None = None) -> None:
        """Everything that there is to do at a moment."""
        self.now = now or self.now
        while self.worker.step():
            pass

    def folded(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of the fold."""
        return {table: rows(self.look, query) for table, query in FOLDED.items()}

    def deadlines(self, case_id: str, handling: int = 1) -> dict[tuple[str, int], str]:
        """The states of a handling's deadlines, by duty and number."""
        found = self.look.execute(
            "select duty, number, state from casework.deadline where case_id = %s and handling = %s",
            (case_id, handling),
        )
        return {(duty, number): state for duty, number, state in found}

    def escalations(self) -> list[tuple[Any, ...]]:
        """Case, kind, to whom, and whether it is open; oldest first."""
        return rows(
            self.look,
            "select case_id, kind, told_to, closed_at is null from casework.escalation"
            " order by at, case_id, duty, number",
        )

    def alerts(self) -> list[tuple[Any, ...]]:
        """Kind and agency of the open alerts."""
        return rows(self.look, "select kind, agency from ledger.alert where closed_at is null order by kind, agency")


@contextmanager
def casework_bench(url: str) -> Iterator[CaseworkBench]:
    """An empty ledger and empty casework."""
    with psycopg.connect(url, autocommit=True) as look:
        look.execute(
            "truncate ledger.lane, ledger.source, ledger.gap, ledger.event, ledger.judgement, ledger.relayed,"
            " ledger.directive, ledger.directive_version, ledger.case, ledger.case_step, ledger.waiting, ledger.parked,"
            " ledger.notice,"
            " ledger.alert, casework.case, casework.handling, casework.deadline, casework.escalation,"
            " casework.routing, casework.law"
        )
        look.execute("update ledger.position set next = 1")
        look.execute("update casework.place set position = 0, urgent = 0, law = 0")
        ledger = Ledger(url, writers(), directory())
        bench = CaseworkBench(url, ledger, look)
        try:
            yield bench
        finally:
            bench.close()
            ledger.close()
