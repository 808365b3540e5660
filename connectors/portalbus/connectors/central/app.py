"""The composition root of the central portal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from portalbus.connectors.central import health
from portalbus.connectors.central.accountability import AccountabilityDesk
from portalbus.connectors.central.agency_names import AgencyNames
from portalbus.connectors.central.api import figures as figures_api
from portalbus.connectors.central.api import routes, stream
from portalbus.connectors.central.api import search as search_api
from portalbus.connectors.central.event_stream import EventStream
from portalbus.connectors.central.feeds.desk import FeedDesk
from portalbus.connectors.central.figures import FiguresDesk
from portalbus.connectors.central.newsroom import Newsroom
from portalbus.connectors.central.pages import (
    agency,
    answer,
    directive,
    feedback,
    feeds,
    figures,
    front,
    open_data,
    overview,
    search,
)
from portalbus.connectors.central.problems import Problem, add_error_handlers
from portalbus.connectors.central.rendering import Templates, static_address
from portalbus.connectors.central.services import Services
from portalbus.connectors.central.settings import Settings
from portalbus.connectors.console.mounting import add_console, make_office
from portalbus.connectors.web.counted import CountedAnswers
from portalbus.connectors.web.rate_limit import RateLimit
from portalbus.connectors.web.security_headers import SecurityHeaders
from portalbus.schemas.directory import directory
from portalbus.streams.metrics.defined import CENTRAL_REQUESTS, CENTRAL_SECONDS, Process
from portalbus.streams.metrics.measuring import Measures
from portalbus.streams.reading.pool import reading_pool

DESCRIPTION = """Directives of state agencies and what became of citizens' feedback, as open data.
Times are RFC 3339; lists are read page by page with `next` as `cursor`; errors are `application/problem+json`."""
PAGES = (search, answer, feeds, feedback, overview, figures, agency, directive, open_data, front)


def create_app(settings: Settings) -> FastAPI:
    """The central portal over one ledger. It connects when it starts, and starts also while the ledger is away."""
    services = _services(settings)
    app = FastAPI(
        title="portalbus central portal",
        version=version("portalbus"),
        description=DESCRIPTION,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        redirect_slashes=False,
    )
    app.state.services = services
    add_error_handlers(app)
    app.add_middleware(GZipMiddleware, minimum_size=1_000)
    app.add_middleware(SecurityHeaders, open_under="/api/")
    measures = app.state.measures = Measures(Process.CENTRAL)
    app.add_middleware(CountedAnswers, measures=measures, requests=CENTRAL_REQUESTS, seconds=CENTRAL_SECONDS)
    app.mount("/static", _StaticFiles(directory=str(files(__package__).joinpath("static"))))
    app.add_api_route("/favicon.ico", _favicon, include_in_schema=False)
    app.include_router(health.router)
    app.include_router(routes.router)
    app.include_router(figures_api.router)
    app.include_router(search_api.router)
    app.include_router(stream.router)
    add_console(app, make_office(settings), _StaticFiles)
    for page in PAGES:
        app.include_router(page.router)
    _describe_problems(app)
    return app


def _services(settings: Settings) -> Services:
    pool = reading_pool(settings.database_url, size=settings.pool_size, application="central")
    newsroom = Newsroom(
        settings.database_url, pool, look_every_s=settings.look_every_s, most_listeners=settings.live_readers
    )
    event_stream = EventStream(
        settings.database_url,
        pool,
        look_every_s=settings.look_every_s,
        most_listeners=settings.stream_readers,
        most_of_one=settings.streams_per_address,
        history=settings.stream_history,
        heartbeat_s=settings.heartbeat_s,
    )
    return Services(
        settings=settings,
        pool=pool,
        newsroom=newsroom,
        stream=event_stream,
        feeds=FeedDesk(pool),
        figures=FiguresDesk(pool),
        accountability=AccountabilityDesk(pool),
        names=AgencyNames(directory()),
        templates=Templates(),
        feedback_limit=RateLimit(settings.feedback_lookups_per_minute / 60, settings.feedback_lookups_per_minute),
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    await services.pool.open(wait=False)
    app.state.measures.serve(services.settings.metrics_port)
    await app.state.office.open()
    following = [asyncio.create_task(services.newsroom.run()), asyncio.create_task(services.stream.run())]
    try:
        yield
    finally:
        for task in following:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await app.state.office.close()
        await services.figures.close()
        await services.pool.close(timeout=2)


async def _favicon() -> RedirectResponse:
    return RedirectResponse(static_address("mark.svg"), 308)


class _StaticFiles(StaticFiles):
    """Static files are asked for under an address that changes with their content, so they may be kept for ever."""

    async def get_response(self, path: str, scope: Scope) -> Any:
        """The file, with a year to live when its address carries its mark."""
        response = await super().get_response(path, scope)
        if b"v=" in scope.get("query_string", b""):
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def _describe_problems(app: FastAPI) -> None:
    """The answers of errors refer to `Problem`, which no route returns: put it into the description."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        description = generate()
        schemas = description.setdefault("components", {}).setdefault("schemas", {})
        schemas.setdefault("Problem", Problem.model_json_schema())
        return description

    app.openapi = openapi  # type: ignore[method-assign]
