"""What became of a feedback, by its public code: steps in plain language, no personal data."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from portalbus.connectors.central.case_steps import case_steps, days_left, typed_code
from portalbus.connectors.central.pages.page import PageAsked
from portalbus.connectors.central.services import visitor_address
from portalbus.streams.reading.cases import case_by_public_code

router = APIRouter(include_in_schema=False)

PRIVATE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}
Address = Annotated[str, Depends(visitor_address)]


@router.get("/{language}/feedback")
async def ask(page: PageAsked, code: Annotated[str, Query(max_length=60)] = "") -> Response:
    """The form; with a code typed into it, on to that code's page."""
    if code.strip():
        return RedirectResponse(f"/{page.language}/feedback/{quote(typed_code(code), safe='')}", 303)
    return page.render("feedback_form.html", here="feedback")


@router.get("/{language}/feedback/{code}")
async def show(page: PageAsked, code: str, address: Address) -> Response:
    """The steps of a case, or help when the code is unknown."""
    wait = page.services.feedback_limit.seconds_to_wait(address)
    if wait:
        limited = page.render("feedback_limited.html", here="feedback", status=429, seconds=wait)
        return _private(limited, {"Retry-After": str(wait)})
    public_code = typed_code(code)
    async with page.services.pool.connection() as connection:
        history = await case_by_public_code(connection, public_code)
    if history is None:
        return _private(page.render("feedback_unknown.html", here="feedback", status=404, typed=public_code))
    steps = case_steps(history, page.words, page.agency_name)
    return _private(
        page.render(
            "feedback.html",
            here="feedback",
            case=history.case,
            due=history.due,
            days_left=days_left(history.due, page.services.today()),
            steps=steps,
            relatives=history.relatives,
        )
    )


def _private(response: HTMLResponse, more: dict[str, str] | None = None) -> HTMLResponse:
    """A page behind a code is kept by nobody and passed on to nobody."""
    response.headers.update({**PRIVATE, **(more or {})})
    return response
