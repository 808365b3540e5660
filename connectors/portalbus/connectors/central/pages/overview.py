"""All current agencies at a glance."""

from __future__ import annotations

from itertools import groupby

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from portalbus.connectors.central.pages.page import PageAsked

router = APIRouter(include_in_schema=False)


@router.get("/{language}/agencies")
async def show_overview(page: PageAsked) -> HTMLResponse:
    """Last heard, silent or not, accepted, waiting, rejected, duplicate, parked: for every agency of the directory."""
    parts = page.services
    overview = await parts.figures.overview(parts.names.current(parts.today()))
    kinds = [(kind, list(lines)) for kind, lines in groupby(overview.agencies, key=lambda line: line.name.kind)]
    return page.render(
        "overview.html",
        here="overview",
        overview=overview,
        kinds=kinds,
    )
