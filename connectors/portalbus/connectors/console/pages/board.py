"""The national overview, and the stream that keeps it live."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from itertools import groupby

import anyio
import psycopg
from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response
from psycopg_pool import PoolTimeout
from sse_starlette import EventSourceResponse, ServerSentEvent

from portalbus.connectors.console.board import Tile, TooManyListeners
from portalbus.connectors.console.charts import rate_chart
from portalbus.connectors.console.office import PRIVATE, OfficePage, PageBehindLogin
from portalbus.streams.reading.pace import Pace, pace, recent_latency

router = APIRouter(prefix="/office", include_in_schema=False)

PING_S = 20
RETRY_MS = 3_000


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
    now = page.services.now()

    def read(connection: psycopg.Connection[tuple[object, ...]]) -> tuple[list[Pace], float | None, float | None]:
        return (pace(connection, None, now), *recent_latency(connection))

    rows, median_s, p95_s = await page.office.threads.run(read)
    return page.render(
        "office_board.html",
        here="board",
        kinds=kinds,
        counts={state: sum(tile.state == state for _, tile in everyone) for state in ("in", "out", "never")},
        rate=rate_chart(rows),
        rows=rows,
        median_s=median_s,
        p95_s=p95_s,
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
        async for changed in page.office.board.follow(ending):
            for event in _told(page, changed):
                yield event


def _told(page: OfficePage, changed: Mapping[str, Tile]) -> list[ServerSentEvent]:
    seen = {code: tile for code, tile in changed.items() if page.account.may_see(code)}
    return [ServerSentEvent(_html(page, tile), event="tile") for tile in seen.values()]


def _html(page: OfficePage, tile: Tile) -> str:
    return page.fragment("_office_tile.html", name=page.services.agency(tile.agency), tile=tile)


def _unheard(code: str) -> Tile:
    return Tile(code, 0, None, None, 0, ())
