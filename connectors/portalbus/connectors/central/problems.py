"""Errors as people and programs should see them: a page in the visitor's language, or `application/problem+json`."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import psycopg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from psycopg_pool import PoolTimeout
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from portalbus.connectors.central.services import services
from portalbus.connectors.web.accept_language import preferred
from portalbus.connectors.web.security_headers import HEADERS
from portalbus.schemas.filled_texts import LANGUAGES

log = structlog.get_logger(__name__)

RETRY_AFTER_S = 10
TEXTS = {403: "forbidden", 404: "not_found", 405: "method", 400: "invalid", 422: "invalid", 503: "unavailable"}


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field("about:blank", description="Kind of problem; about:blank when the status says it all.")
    title: str = Field(description="The status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What is wrong and how to mend it.")
    instance: str = Field(description="The path that was asked for.")


PROBLEM_ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": description,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, description in {
        404: "There is no such thing.",
        422: "A parameter is not valid.",
        429: "Too many requests; see Retry-After.",
        503: "The ledger does not answer; try again later.",
    }.items()
}


def add_error_handlers(app: FastAPI) -> None:
    """Every error of this application goes through here."""

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        return _answer(request, error.status_code, str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        where = "; ".join(f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors())
        return _answer(request, 422, where)

    async def unavailable(request: Request, error: Exception) -> Response:
        log.warning("request.ledger-unavailable", route=_route(request), error=type(error).__name__)
        detail = "the ledger does not answer; try again later"
        return _answer(request, 503, detail, {"Retry-After": str(RETRY_AFTER_S)})

    app.add_exception_handler(psycopg.OperationalError, unavailable)
    app.add_exception_handler(PoolTimeout, unavailable)

    @app.exception_handler(psycopg.DataError)
    async def no_text(request: Request, error: psycopg.DataError) -> Response:
        return _answer(request, 422, "the address holds something that cannot be looked up, such as a NUL character")

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        log.error("request.failed", route=_route(request), error=type(error).__name__, exc_info=error)
        # This answer is made outside the middleware that sets the security headers.
        return _answer(request, 500, "an unexpected error; it was recorded", HEADERS)


def _answer(request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    path = request.url.path
    if path.startswith("/api/"):
        problem = Problem(
            title=HTTPStatus(status).phrase, status=status, detail=detail, instance=path, type="about:blank"
        )
        return JSONResponse(problem.model_dump(), status, dict(headers or {}), "application/problem+json")
    language = (*path.removeprefix("/office").split("/"), "")[1]
    if language not in LANGUAGES:
        language = preferred(request.headers.get("accept-language", ""))
    page = services(request).templates.render(
        "error.html", language, kind=TEXTS.get(status, "internal"), status=status, path="", here=""
    )
    return HTMLResponse(page, status, dict(headers or {}))


def _route(request: Request) -> str:
    """The route's template, not the path: a path may hold a citizen's public code."""
    return getattr(request.scope.get("route"), "path", "?")
