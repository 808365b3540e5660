"""A public answer: what an agency answered, without who asked and what."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, HTTPException
from fastapi.responses import HTMLResponse

from portalbus.connectors.central.pages.page import PageAsked
from portalbus.streams.reading.answers import public_answer

router = APIRouter(include_in_schema=False)


@router.get("/{language}/answers/{event_id}")
async def show_answer(page: PageAsked, event_id: str) -> HTMLResponse:
    """The answer that this event gave."""
    try:
        wanted = UUID(event_id)
    except ValueError:
        raise HTTPException(404, "no such answer") from None
    async with page.services.pool.connection() as connection:
        row = await public_answer(connection, wanted)
    if row is None:
        raise HTTPException(404, "no such answer")
    return page.render("answer.html", here="search", row=row)
