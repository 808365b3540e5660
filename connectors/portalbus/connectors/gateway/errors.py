"""Every error of the gateway becomes a problem, in the language asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from portalbus.connectors.gateway.problems import Refusal, problem_of_request, problem_response
from portalbus.connectors.web.accept_language import preferred
from portalbus.connectors.web.security_headers import HEADERS
from portalbus.schemas.errors import OutboxFull, PortalbusError

log = structlog.get_logger(__name__)

RETRY_S = "30"
OF_STATUS = {404: "gateway.no-such-address", 405: "gateway.method"}


def add_error_handlers(app: FastAPI) -> None:
    """Every error of this application goes through here."""

    async def handled(request: Request, error: Exception) -> Response:
        return problem_of(request, error)

    for kind in (Refusal, HTTPException, RequestValidationError, PortalbusError, Exception):
        app.add_exception_handler(kind, handled)


async def answered(request: Request, work: Awaitable[Response]) -> Response:
    """What a piece of work answers, or the problem that it ends in."""
    try:
        return await work
    except Exception as error:
        return problem_of(request, error)


def problem_of(request: Request, error: Exception) -> Response:
    """The response to an error."""
    if isinstance(error, Refusal):
        return _problem(request, error.rule, error.params, error.headers)
    if isinstance(error, HTTPException):
        return _problem(request, OF_STATUS.get(error.status_code, "gateway.fault"), {}, error.headers)
    if isinstance(error, RequestValidationError):
        return _problem(request, "gateway.parameter", {"name": str(error.errors()[0]["loc"][-1])[:64]})
    if isinstance(error, PortalbusError):
        log.error("gateway.outbox-unusable", error=type(error).__name__, why=str(error))
        rule = "gateway.outbox-full" if isinstance(error, OutboxFull) else "gateway.outbox-unusable"
        return _problem(request, rule, {}, {"Retry-After": RETRY_S})
    route = getattr(request.scope.get("route"), "path", request.scope["path"][:64])
    log.error("gateway.failed", route=route, error=type(error).__name__, exc_info=error)
    # FastAPI makes this answer outside the layers that set the security headers.
    return _problem(request, "gateway.fault", {}, HEADERS)


def _problem(
    request: Request, rule: str, params: Mapping[str, str], headers: Mapping[str, str] | None = None
) -> Response:
    language = preferred(request.headers.get("accept-language", ""))
    return problem_response(problem_of_request(rule, params, language), headers)
