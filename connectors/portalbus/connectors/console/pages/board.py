"""The national overview, and the stream that keeps it live."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from typing import Any

import anyio
import psycopg
from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response
from psycopg_pool import PoolTimeout
from sse_starlette import EventSourceResponse, ServerSentEvent

from portalbus.connectors.console.board import Tile
from portalbus.connectors.console.charts import due_chart, latency_chart, rate_chart
from portalbus.connectors.console.office import PRIVATE, OfficePage, PageBehindLogin
from portalbus.connectors.web.listeners import TooManyListeners
from portalbus.streams.ledger.alert_list import ListedAlert, list_alerts
from portalbus.streams.reading.due import DueDay, due_days
from portalbus.streams.reading.pace import Pace, pace, recent_latency

router = APIRouter(prefix="/office", include_in_schema=False)

PING_S = 20
RETRY_MS = 3_000
CHECK_EVERY_S = 15.0
"""How long who is logged in no more may go on listening while nothing changes."""
ABOUT_NO_AGENCY = ""


@router.get("/{language}")
async def add_slash(page: PageBehindLogin) -> Response:
    """The address of the overview ends in a slash."""
    return RedirectResponse(f"/office/{page.language}/", 308, PRIVATE)


@router.get("/{language}/")
async def show_board(page: PageBehindLogin) -> Response:
    """All bodies at a glance; an agency's account goes to its own page."""
    if page.account.agency is not None:
        return RedirectResponse(f"/office/{page.language}/agencies/{page.account.agency}", 303, PRIVATE)
    tiles = await page.office.board.tiles()
    names = page.services.names.current(page.services.today())
    everyone = [(name, tiles.get(name.code) or _unheard(name.code)) for name in names]
    kinds = [(kind, list(of)) for kind, of in groupby(everyone, key=lambda pair: pair[0].kind)]
    now, today = page.services.now(), page.services.today()
    read = await page.office.threads.run(lambda connection: _read(connection, today, now))
    return page.render(
        "office_board.html",
        here="board",
        kinds=kinds,
        counts={state: sum(tile.state == state for _, tile in everyone) for state in ("in", "out", "never")},
        alerts=read.alerts,
        due=due_chart(read.due, today),
        due_rows=read.due,
        rate=rate_chart(read.pace),
        latency=latency_chart(read.pace),
        rows=read.pace,
        median_s=read.latency[0],
        p95_s=read.latency[1],
    )


@dataclass(frozen=True, slots=True)
class _Read:
    """What the overview shows beside the tiles."""

    alerts: list[ListedAlert]
    due: list[DueDay]
    pace: list[Pace]
    latency: tuple[float | None, float | None]


def _read(connection: psycopg.Connection[Any], today: date, now: datetime) -> _Read:
    return _Read(
        list_alerts(connection, ABOUT_NO_AGENCY),
        due_days(connection, None, today, now),
        pace(connection, None, now),
        recent_latency(connection),
    )


@router.get("/{language}/live")
async def live(page: PageBehindLogin) -> Response:
    """Server-sent events: a `tile` event with the HTML of each agency that changed."""
    ending = anyio.Event()  # set when the process is asked to stop
    return EventSourceResponse(
        _events(page, ending),
        shutdown_event=ending,
        shutdown_grace_period=2,
        ping=PING_S,
        send_timeout=30,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _events(page: OfficePage, ending: anyio.Event) -> AsyncIterator[ServerSentEvent]:
    yield ServerSentEvent("", event="hello", retry=RETRY_MS)
    # An end without a word makes the browser connect again; the page is brought up to date when it does.
    with suppress(psycopg.Error, PoolTimeout, TooManyListeners):
        async with aclosing(page.office.board.follow(ending, CHECK_EVERY_S)) as changes:
            async for changed in changes:
                if not await page.is_still_logged_in():
                    yield ServerSentEvent("", event="over")
                    return
                for event in _told(page, changed):
                    yield event


def _told(page: OfficePage, changed: Mapping[str, Tile]) -> list[ServerSentEvent]:
    seen = {code: tile for code, tile in changed.items() if page.account.may_see(code)}
    return [ServerSentEvent(_html(page, tile), event="tile") for tile in seen.values()]


def _html(page: OfficePage, tile: Tile) -> str:
    return page.fragment("_office_tile.html", name=page.services.agency(tile.agency), tile=tile)


def _unheard(code: str) -> Tile:
    return Tile(code, 0, None, None, 0, ())
