"""One agency: how its sources stand, what keeps them out of step, and the next step for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response
from psycopg import Connection

from portalbus.connectors.console.charts import due_chart, latency_chart, rate_chart
from portalbus.connectors.console.journal import Deed, What, deeds
from portalbus.connectors.console.office import PageBehindLogin
from portalbus.schemas.catalogue import catalogue
from portalbus.schemas.findings import Finding
from portalbus.streams.ledger.alert_list import ListedAlert, list_alerts
from portalbus.streams.ledger.gap_desk import ListedGap, list_gaps
from portalbus.streams.ledger.source_desk import ListedSource, list_sources
from portalbus.streams.parking.asking import Filters, ParkedLine, parked_lines
from portalbus.streams.reading.condition import Condition, conditions
from portalbus.streams.reading.desk import (
    Drift,
    InHand,
    OwnEvent,
    cases_in_hand,
    drift,
    last_compared,
    refused_events,
    waiting_events,
)
from portalbus.streams.reading.due import DueDay, due_days
from portalbus.streams.reading.pace import Pace, pace
from portalbus.streams.reading.standing import SourceRow, sources
from portalbus.streams.silence.clock_alerts import CLOCK_OFF
from portalbus.streams.silence.judging import EVENT_TYPE_SILENT, SOURCE_SILENT

router = APIRouter(prefix="/office", include_in_schema=False)

SHOWN = 20


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything that the page of an agency shows, of one moment each."""

    conditions: list[Condition]
    all_gaps: list[ListedGap]
    parked: list[ParkedLine]
    alerts: list[ListedAlert]
    waiting: list[OwnEvent]
    refused: list[OwnEvent]
    drift: list[Drift]
    in_hand: InHand
    due: list[DueDay]
    compared: tuple[datetime | None, datetime | None]
    pace: list[Pace]
    deeds: list[Deed]
    listed: list[ListedSource]

    @property
    def in_step(self) -> bool:
        """True when every source is."""
        return all(condition.in_step for condition in self.conditions)

    @property
    def gaps(self) -> list[ListedGap]:
        """As many gaps as the page shows."""
        return self.all_gaps[:SHOWN]

    @property
    def more_gaps(self) -> int:
        """How many gaps it does not show."""
        return len(self.all_gaps) - len(self.gaps)

    @property
    def more_parked(self) -> int:
        """How many unreadable records it does not show."""
        return max(sum(row.parked for row in self.conditions) - len(self.parked), 0)

    @property
    def more_waiting(self) -> int:
        """How many waiting events it does not show."""
        return max(sum(row.waiting for row in self.conditions) - len(self.waiting), 0)

    @property
    def since(self) -> datetime | None:
        """Since when all are in step, or the first one is not."""
        known = [row.since for row in self.conditions if row.in_step == self.in_step and row.since]
        return (max if self.in_step else min)(known, default=None)


@router.get("/{language}/agencies/{code}")
async def show_agency(page: PageBehindLogin, code: str, done: Annotated[int, Query(ge=0, le=2**62)] = 0) -> Response:
    """The desk of an agency; with `done`, what came of the step that was just taken."""
    page.check_may_see(code)
    now, today = page.services.now(), page.services.today()
    desk = await page.office.threads.run(lambda connection: _read(connection, code, today, now))
    async with page.services.pool.connection() as connection:
        rows = await sources(connection, code)
    return page.render(
        "office_agency.html",
        here="agency",
        code=code,
        name=page.services.agency(code),
        desk=desk,
        sources=rows,
        clocks=_clocks_off(rows, desk),
        silent=_silent(desk),
        alerts=_alerts(desk),
        shown=SHOWN,
        done=next((deed for deed in desk.deeds if deed.id == done), None),
        running=[deed for deed in desk.deeds if deed.outcome is None and (now - deed.at).total_seconds() < 120],
        rate=rate_chart(desk.pace),
        latency=latency_chart(desk.pace),
        due=due_chart(desk.due, today),
        due_rows=desk.due,
        finding=_finding,
        blockings={row.portal: row for row in desk.listed},
        decides=page.account.agency is None,
        can={what: page.office.hands.can(what) for what in What},
        What=What,
    )


def _read(connection: Connection[Any], code: str, today: date, now: datetime) -> Desk:
    return Desk(
        conditions(connection, code),
        list_gaps(connection, code),
        parked_lines(connection, Filters(code), SHOWN),
        list_alerts(connection, code),
        waiting_events(connection, code, SHOWN),
        refused_events(connection, code, SHOWN),
        drift(connection, code),
        cases_in_hand(connection, code, now),
        due_days(connection, code, today, now),
        last_compared(connection),
        pace(connection, code, now),
        deeds(connection, code),
        list_sources(connection, code),
    )


def _alerts(desk: Desk) -> list[ListedAlert]:
    """The alerts that say something which no other entry of the page says with a button beside it."""
    told = {"store.differs": any(row.differing for row in desk.conditions), "gap.open": bool(desk.all_gaps)}
    return [alert for alert in desk.alerts if not told.get(alert.kind)]


def _silent(desk: Desk) -> list[Condition]:
    """Sources that are late or silent, for which no alert has been raised (yet)."""
    told = {alert.portal for alert in desk.alerts if alert.kind in (SOURCE_SILENT, EVENT_TYPE_SILENT)}
    return [row for row in desk.conditions if row.state in ("late", "silent") and row.portal not in told]


def _clocks_off(rows: Sequence[SourceRow], desk: Desk) -> list[SourceRow]:
    """Sources whose clock is off, for which no alert has been raised (yet)."""
    told = {alert.portal for alert in desk.alerts if alert.kind == CLOCK_OFF}
    return [row for row in rows if row.clock in ("ahead", "behind") and row.portal not in told]


def _finding(rule: str, detail: str = "") -> Finding | None:
    """The texts of a rule; None for one that this version does not know."""
    return Finding(rule, "", {"detail": detail}) if rule in catalogue() else None
