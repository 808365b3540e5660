"""Counts the answers of a web application, by the route's template, and how long they took to begin."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from portalbus.streams.metrics.defined import Metric
from portalbus.streams.metrics.measuring import Measures

OTHER = "other"
"""A path that is no route has no name of its own: anybody could make up as many as he likes."""


class CountedAnswers:
    """Counts in `requests` (labels route and status) and `seconds`."""

    def __init__(self, app: ASGIApp, measures: Measures, requests: Metric, seconds: Metric) -> None:
        self._app = app
        self._measures = measures
        self._requests = requests
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes one request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", OTHER)
                self._measures.count(self._requests, 1, route, str(message["status"]))
                self._measures.observe(self._seconds, time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, counting)
