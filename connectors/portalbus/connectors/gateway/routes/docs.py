"""The description of the gateway, as pages without scripts or anything from elsewhere."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from portalbus.connectors.gateway.services import services
from portalbus.connectors.web.accept_language import preferred
from portalbus.schemas.filled_texts import LANGUAGES

router = APIRouter(include_in_schema=False)

Lang = Annotated[str | None, Query()]


@router.get("/")
async def front() -> Response:
    """Leads to the description."""
    return RedirectResponse("/docs", 307)


@router.get("/docs")
async def addresses(request: Request, lang: Lang = None) -> Response:
    """Every address with its parameters, bodies and answers."""
    return _page(services(request).documentation.addresses(request.app.openapi(), _language(request, lang)))


@router.get("/docs/rules")
async def rules(request: Request, lang: Lang = None) -> Response:
    """Every rule with its texts: where the `type` of a problem leads."""
    return _page(services(request).documentation.rules(_language(request, lang)))


@router.get("/docs/style.css")
async def style(request: Request) -> Response:
    """The style of these pages."""
    return Response(services(request).documentation.style, media_type="text/css")


@router.get("/docs/mark.svg")
async def mark(request: Request) -> Response:
    """The mark of the bus."""
    return Response(services(request).documentation.mark, media_type="image/svg+xml")


def _language(request: Request, asked: str | None) -> str:
    return asked if asked in LANGUAGES else preferred(request.headers.get("accept-language", ""))


def _page(text: str) -> HTMLResponse:
    return HTMLResponse(text, headers={"Vary": "Accept-Language"})
