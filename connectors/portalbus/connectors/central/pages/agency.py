"""One agency: what it published, and the sources it speaks through."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from fastapi.responses import HTMLResponse

from portalbus.connectors.central.pages.page import PageAsked
from portalbus.streams.reading.directives import DirectiveFilter, directives
from portalbus.streams.reading.standing import sources

router = APIRouter(include_in_schema=False)

SHOWN = 20


@router.get("/{language}/agencies/{code}")
async def show_agency(page: PageAsked, code: str) -> HTMLResponse:
    """An agency of today, or one that was: then with its heirs."""
    parts = page.services
    if not parts.names.known(code):
        raise HTTPException(404, "no such agency")
    name = parts.agency(code)
    async with parts.pool.connection() as connection:
        found = await directives(connection, DirectiveFilter(agency=code, withdrawn=True), limit=SHOWN)
        heard = await sources(connection, code)
    return page.render(
        "agency.html",
        here="overview",
        name=name,
        rows=found.rows,
        has_more=found.next is not None,
        sources=heard,
        figures=await parts.figures.agency(name),
        heirs=() if name.current else parts.names.heirs(code, parts.today()),
    )
