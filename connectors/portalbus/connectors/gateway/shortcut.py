"""The way of most requests: publishing, past the layers that describe and route all the others.

FastAPI's own layers take longer than everything the gateway does for an event. The route in `routes/events.py` is what
is described; both ways call the same function and end in the same problems.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from portalbus.connectors.gateway.errors import answered
from portalbus.connectors.gateway.quick_request import QuickRequest
from portalbus.connectors.gateway.routes.events import PATH, take_in
from portalbus.connectors.gateway.services import Services

NO_PAGE = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]
"""An answer to a program: no browser shows it, so the headers that guard pages have nothing to do."""


class Shortcut:
    """Answers `POST /v1/events` itself and passes everything else on. `services` is known once the process is up."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.services: Services | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if self.services is None or scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        request = QuickRequest(scope, receive, send)
        response = await answered(request, take_in(self.services, request))
        response.raw_headers += NO_PAGE
        self.services.metrics.answered(PATH, response.status_code)
        await response(scope, receive, send)
