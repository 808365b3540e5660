"""What the gateway counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The metrics of one process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "portalbus_gateway_requests", "Answers given", ("route", "status"), registry=self.registry
        )
        self.accepted = Counter(
            "portalbus_gateway_events_accepted", "Events on their lane", ("agency",), registry=self.registry
        )
        self.refused = Counter(
            "portalbus_gateway_events_refused", "Events refused", ("agency", "rule"), registry=self.registry
        )
        self.acknowledged = Histogram(
            "portalbus_gateway_acknowledged_seconds",
            "From a checked request to the broker's acknowledgement",
            buckets=SECONDS,
            registry=self.registry,
        )

        # Looking a label up takes several times as long as counting.
        self._answered: dict[tuple[str, int], Counter] = {}
        self._accepted: dict[str, Counter] = {}

    def answered(self, route: str, status: int) -> None:
        """Counts an answer."""
        place = (route, status)
        counter = self._answered.get(place)
        if counter is None:
            counter = self._answered[place] = self.requests.labels(route, str(status))
        counter.inc()

    def took(self, agency: str, events: int) -> None:
        """Counts events that are on their lane."""
        counter = self._accepted.get(agency)
        if counter is None:
            counter = self._accepted[agency] = self.accepted.labels(agency)
        counter.inc(events)

    def watch(self, name: str, text: str, figure: Callable[[], float]) -> None:
        """A figure that is looked up whenever somebody asks."""
        Gauge(f"portalbus_gateway_{name}", text, registry=self.registry).set_function(figure)


class Counted:
    """Counts the answers to requests, by the route's template."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes one request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "other")
                self._metrics.answered(route, message["status"])
            await send(message)

        await self._app(scope, receive, counting)
