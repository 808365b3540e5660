"""Accountability figures as a page."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import HTMLResponse

from portalbus.connectors.central.api.figures import wanted_figures
from portalbus.connectors.central.pages.page import PageAsked
from portalbus.streams.reading.accountability import total

router = APIRouter(include_in_schema=False)
Day = Annotated[str, Query(max_length=10)]


@router.get("/{language}/figures")
async def show_figures(
    page: PageAsked, since: Annotated[str, Query(alias="from", max_length=10)] = "", to: Day = ""
) -> HTMLResponse:
    """For every agency that received a case in the period: on time, late, overdue, refused, passed on, returned."""
    parts = page.services
    wanted = wanted_figures(_day(since), _day(to), parts.today(), None, None)
    found = await parts.accountability.figures(wanted)
    return page.render(
        "figures.html",
        here="figures",
        first=wanted.first,
        last=wanted.last,
        lines=[(parts.agency(one.group["agency"]), one.counts) for one in found],
        total=total(found),
    )


def _day(said: str) -> date | None:
    try:
        return date.fromisoformat(said) if said else None
    except ValueError as error:
        raise HTTPException(422, f"{said} is no day") from error
