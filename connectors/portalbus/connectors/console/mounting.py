"""Puts the console into the application of the central portal."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse
from starlette.staticfiles import StaticFiles

from portalbus.connectors.central.rendering import Templates, static_address
from portalbus.connectors.central.settings import Settings
from portalbus.connectors.console.board import Board
from portalbus.connectors.console.deciding import Hands
from portalbus.connectors.console.office import PACKAGE, PRIVATE, LoginNeeded, Office, login_address
from portalbus.connectors.console.pages import agency, board, coverage, journal, login, steps, trace, undecided
from portalbus.connectors.console.threads import OfficeThreads
from portalbus.connectors.web.rate_limit import RateLimit
from portalbus.schemas.kafka_settings import kafka_from_env
from portalbus.streams.casework.assigning import Speaker

PAGES = (login, board, agency, steps, trace, coverage, undecided, journal)
STATIC = "/office/static"


def make_office(settings: Settings) -> Office:
    """The console over one ledger. It connects when it is used."""
    threads = OfficeThreads(settings.database_url)
    templates = Templates(PACKAGE)
    templates.environment.globals["office_static"] = lambda name: static_address(name, PACKAGE, STATIC)
    return Office(
        threads=threads,
        hands=Hands(settings.database_url, settings.registry_url, settings.bootstrap, _speaker(settings)),
        board=Board(settings.database_url, threads),
        templates=templates,
        login_limit=RateLimit(settings.logins_per_minute / 60, settings.logins_per_minute),
    )


def _speaker(settings: Settings) -> Speaker | None:
    """How the console speaks for the centre; None where it was not told all that this needs."""
    if not (settings.outbox and settings.bootstrap and settings.registry_url):
        return None
    return Speaker(
        settings.bootstrap,
        settings.registry_url,
        Path(settings.outbox),
        settings.outbox_portal,
        kafka_from_env(),
    )


def add_console(app: FastAPI, office: Office, static: type[StaticFiles]) -> None:
    """Adds the pages, their static files, and the way to the login."""
    app.state.office = office
    app.mount(STATIC, static(directory=str(files(PACKAGE).joinpath("static"))))
    for page in PAGES:
        app.include_router(page.router)

    @app.exception_handler(LoginNeeded)
    async def ask_for_login(request: Request, _error: LoginNeeded) -> RedirectResponse:
        return RedirectResponse(login_address(request), 303, PRIVATE)
