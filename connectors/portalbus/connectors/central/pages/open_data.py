"""The API's documentation as a page, made from its OpenAPI description."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from portalbus.connectors.central.pages.page import PageAsked

router = APIRouter(include_in_schema=False)


@router.get("/{language}/api")
async def show_api(page: PageAsked) -> HTMLResponse:
    """Every address of the API with its parameters and answers."""
    description: dict[str, Any] = page.request.app.openapi()
    operations = [
        {"path": path, **operation}
        for path, methods in description["paths"].items()
        for operation in methods.values()
        if path.startswith("/api/")
    ]
    return page.render("open_data.html", here="api", operations=operations)
