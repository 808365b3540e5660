"""The front page, and the stream that keeps it live."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated

import anyio
import psycopg
from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from psycopg_pool import PoolTimeout
from sse_starlette import EventSourceResponse, ServerSentEvent

from portalbus.connectors.central.newsroom import News
from portalbus.connectors.central.pages.page import Page, PageAsked
from portalbus.connectors.web.accept_language import preferred
from portalbus.connectors.web.listeners import TooManyListeners
from portalbus.streams.reading.directives import DirectiveFilter, DirectiveRow, directives
from portalbus.streams.reading.tally import last_position

router = APIRouter(include_in_schema=False)

SHOWN = 20
PING_S = 20
RETRY_MS = 2_000
MAX_POSITION = 2**62


@router.get("/")
async def choose_language(request: Request) -> Response:
    """Sends a visitor to the language the browser asks for."""
    language = preferred(request.headers.get("accept-language", ""))
    return RedirectResponse(f"/{language}/", 302, {"Vary": "Accept-Language"})


@router.get("/{language}", include_in_schema=False)
async def add_slash(page: PageAsked) -> Response:
    """The front page's address ends in a slash."""
    return RedirectResponse(f"/{page.language}/", 308)


@router.get("/{language}/")
async def front(page: PageAsked) -> HTMLResponse:
    """The latest directives and ways into everything else."""
    rows, position = await _latest(page)
    overview = await page.services.figures.overview(page.services.names.current(page.services.today()))
    return page.render("front.html", here="directives", rows=rows, position=position, overview=overview)


@router.get("/{language}/latest")
async def latest(page: PageAsked) -> HTMLResponse:
    """The list of the front page alone, for browsers that cannot be kept live by the stream."""
    rows, _ = await _latest(page)
    return HTMLResponse(_cards(page, rows), headers={"Cache-Control": "no-store"})


@router.get("/{language}/live")
async def live(page: PageAsked, after: Annotated[int, Query(ge=0, le=MAX_POSITION)] = MAX_POSITION) -> Response:
    """Server-sent events: a `directive` event with the card of each directive that was published or changed."""
    if not page.services.newsroom.has_room:
        # 204 tells a browser not to connect again (HTML standard); the page polls instead.
        return Response(status_code=204)
    seen = page.request.headers.get("last-event-id", "")
    start = int(seen) if seen.isdecimal() and len(seen) < 19 else after
    ending = anyio.Event()  # set when the process is asked to stop
    return EventSourceResponse(
        _events(page, start, ending),
        shutdown_event=ending,
        shutdown_grace_period=2,
        ping=PING_S,
        send_timeout=30,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _events(page: Page, after: int, ending: anyio.Event) -> AsyncIterator[ServerSentEvent]:
    # An end without a word makes the browser connect again, from the last position it has seen.
    with suppress(psycopg.Error, PoolTimeout, TooManyListeners):
        greeted = False
        async for news in page.services.newsroom.follow(after, ending):
            if not greeted:  # whatever changes from now on will be told
                yield ServerSentEvent("", event="hello", retry=RETRY_MS)
                greeted = True
            for event in _told(page, news):
                yield event


def _told(page: Page, news: News) -> list[ServerSentEvent]:
    """One event a directive. All but the last carry no id: a page cut off in between asks for them all again."""
    if page.language not in news.told:
        news.told[page.language] = tuple(_cards(page, [row]) for row in news.changed)
    events = [ServerSentEvent(card, event="directive") for card in news.told[page.language]]
    return [*events, ServerSentEvent("", event="position", id=str(news.position))] if events else []


async def _latest(page: Page) -> tuple[tuple[DirectiveRow, ...], int]:
    async with page.services.pool.connection() as connection:
        # The position first: what comes in between is told again by the stream, not left out.
        position = await last_position(connection)
        found = await directives(connection, DirectiveFilter(), limit=SHOWN)
    return found.rows, position


def _cards(page: Page, rows: tuple[DirectiveRow, ...] | list[DirectiveRow]) -> str:
    return page.fragment("_cards.html", rows=rows)
