"""The composition root of the gateway."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from portalbus.connectors.gateway.answer_book import AnswerBook
from portalbus.connectors.gateway.database import KEYS, MEMORY, open_database
from portalbus.connectors.gateway.described import described
from portalbus.connectors.gateway.documentation import Documentation
from portalbus.connectors.gateway.errors import add_error_handlers
from portalbus.connectors.gateway.gate import Gate
from portalbus.connectors.gateway.intake import Intake
from portalbus.connectors.gateway.keys import KeyRing
from portalbus.connectors.gateway.metrics import Counted, Metrics
from portalbus.connectors.gateway.readiness import Readiness
from portalbus.connectors.gateway.reading import VerdictDesk
from portalbus.connectors.gateway.routes import docs, events, health, verdicts
from portalbus.connectors.gateway.services import Services
from portalbus.connectors.gateway.settings import Settings
from portalbus.connectors.gateway.shortcut import Shortcut
from portalbus.connectors.gateway.sources import Sources
from portalbus.connectors.web.security_headers import SecurityHeaders
from portalbus.streams.metrics.measuring import serve_metrics

DESCRIPTION = """Portals publish directives and feedback as CloudEvents 1.0, and read what the centre decided.

Send every event with an id of its own (a UUID) and keep it when you send it again: nothing doubles. 202 means that the
bus has it for good. A verdict follows within seconds.

Errors are application/problem+json with a rule, the place, the words in the language of Accept-Language, and how to
mend it."""
"""In the words of the OpenAPI document."""
PRUNE_S = 3_600.0
COLLECT_AFTER = 20_000
"""New objects, some fifty requests' worth, before the youngest are looked through."""


def create_app(settings: Settings) -> ASGIApp:
    """The gateway. It starts also while Kafka is away, and says so at /readyz."""
    app = FastAPI(
        title="portalbus gateway",
        version=version("portalbus"),
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        redirect_slashes=False,
    )
    app.state.settings = settings
    metrics = app.state.metrics = Metrics()
    add_error_handlers(app)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Counted, metrics=metrics)
    for part in (events, verdicts, health, docs):
        app.include_router(part.router)
    _describe(app)
    app.state.shortcut = shortcut = Shortcut(app)
    return shortcut


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    metrics: Metrics = app.state.metrics
    keys = open_database(settings.keys, KEYS)
    notes, answers = open_database(settings.memory, MEMORY), open_database(settings.memory, MEMORY)
    sources = Sources(settings, notes)
    gate = Gate(settings, KeyRing(keys))
    book = AnswerBook(answers, settings.remember_days)
    desk = VerdictDesk(settings, sources)
    services = app.state.services = Services(
        settings=settings,
        gate=gate,
        intake=Intake(settings, gate, sources, book, metrics),
        sources=sources,
        verdicts=desk,
        metrics=metrics,
        readiness=Readiness(settings),
        documentation=Documentation(),
    )
    app.state.shortcut.services = services
    metrics.watch("sources_open", "Sources that are open", lambda: float(sum(1 for _ in sources.opened())))
    metrics.watch("undelivered", "Events that wait", lambda: float(sum(one.undelivered for one in sources.opened())))
    metrics.watch("readers", "Programs that wait for verdicts", lambda: float(desk.readers))
    serve_metrics(metrics.registry, settings.metrics_port)
    _collect_rarely()
    running = [asyncio.create_task(work) for work in (sources.resume(), sources.tidy(), _prune(book))]
    try:
        yield
    finally:
        for task in running:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await sources.close()
        services.intake.close()
        services.readiness.close()
        book.close()
        for connection in (keys, notes, answers):
            connection.close()


def _collect_rarely() -> None:
    """What was imported stays: no collection looks at it again, and a request waits for fewer of them."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 50)


async def _prune(book: AnswerBook) -> None:
    while True:
        await book.prune()
        await asyncio.sleep(PRUNE_S)


def _describe(app: FastAPI) -> None:
    made: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not made:
            made.update(described(app, DESCRIPTION))
        return made

    app.openapi = openapi  # type: ignore[method-assign]
