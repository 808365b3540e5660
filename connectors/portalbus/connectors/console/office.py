"""The parts of the console in one process, and what a request for one of its pages brings along."""

from __future__ import annotations

import asyncio
import hmac
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote, urlsplit

from fastapi import Depends, HTTPException, Request
from fastapi.responses import HTMLResponse

from portalbus.connectors.central.rendering import Templates
from portalbus.connectors.central.services import Services, services
from portalbus.connectors.central.wording import Words, all_words
from portalbus.connectors.console.accounts import Account
from portalbus.connectors.console.board import Board
from portalbus.connectors.console.deciding import Hands, Step
from portalbus.connectors.console.sessions import COOKIE, Session, find_session, is_session
from portalbus.connectors.console.threads import OfficeThreads
from portalbus.connectors.web.rate_limit import RateLimit
from portalbus.schemas.filled_texts import LANGUAGES

PACKAGE = "portalbus.connectors.console"
MOST_FORM_BYTES = 16_384
PRIVATE = {"Cache-Control": "no-store", "Referrer-Policy": "same-origin", "X-Robots-Tag": "noindex"}


class LoginNeeded(Exception):
    """Nobody is logged in: the login page comes first."""


@dataclass(slots=True)
class Office:
    """The console of one process."""

    threads: OfficeThreads
    hands: Hands
    board: Board
    templates: Templates
    login_limit: RateLimit
    _running: set[asyncio.Task[Any]] = field(default_factory=set)

    async def open(self) -> None:
        """Begins to follow the ledger."""
        self.threads.open()
        await asyncio.to_thread(self.hands.open)
        self._keep(asyncio.create_task(self.board.run()))

    async def close(self) -> None:
        """Ends what is under way; what takes long is left to the worker."""
        await asyncio.to_thread(self.hands.stop)
        for task in tuple(self._running):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self.threads.close()

    def do_later(self, number: int, who: str, step: Step) -> None:
        """Does what takes longer than a visitor should wait; the journal tells how it ended."""
        self._keep(asyncio.create_task(asyncio.to_thread(self.hands.finish, number, who, step)))

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._running.add(task)
        task.add_done_callback(self._running.discard)


def office(request: Request) -> Office:
    """The console of the process that answers this request."""
    found: Office = request.app.state.office
    return found


class OfficePage:
    """A request for a page of the console, in one language; by nobody yet, or by somebody who is logged in."""

    def __init__(self, request: Request, language: str, session: Session | None = None) -> None:
        self.request = request
        self.language = language
        self.session = session
        self.services: Services = services(request)
        self.office: Office = office(request)
        self.words: Words = all_words(PACKAGE)[language]

    @property
    def account(self) -> Account:
        """Who is logged in. Raises LoginNeeded."""
        if self.session is None:
            raise LoginNeeded
        return self.session.account

    async def is_still_logged_in(self) -> bool:
        """False once the session ended, whatever ended it; asked by what goes on after its request was let in.

        Raises psycopg errors and PoolTimeout.
        """
        token = _token(self.request)
        return await self.office.threads.run(lambda connection: is_session(connection, token))

    def agency_name(self, code: str) -> str:
        """The name of an agency in the language of the page."""
        return self.services.agency(code).in_language(self.language)

    def check_may_see(self, agency: str) -> None:
        """Raises 403 for what is another agency's, 404 for what is none's."""
        if not self.services.names.known(agency):
            raise HTTPException(404, f"there is no agency with the code {agency}")
        if not self.account.may_see(agency):
            raise HTTPException(403, f"this account may not see {agency}")

    def render(
        self, template: str, *, here: str = "", status: int = 200, path: str = "", **values: Any
    ) -> HTMLResponse:
        """The page, kept by nobody; `here` is the menu entry it belongs to.

        `path` is where the other languages are found, below the language: the page that was asked for unless told.
        """
        asked = self.request.url.path.removeprefix(f"/office/{self.language}")
        query = f"?{self.request.url.query}" if self.request.url.query else ""
        text = self.fragment(template, here=here, path=path or f"{asked}{query}", **values)
        return HTMLResponse(text, status, PRIVATE)

    def fragment(self, template: str, **values: Any) -> str:
        """A template's text with what every template of the console may use."""
        return self.office.templates.render(
            template,
            self.language,
            agency_name=self.agency_name,
            now=self.services.now(),
            account=self.session.account if self.session else None,
            csrf=self.session.csrf if self.session else "",
            **values,
        )


def language_of(language: str) -> str:
    """The language in the address; 404 for one that we do not have."""
    if language not in LANGUAGES:
        raise HTTPException(404, "there is no page at this address")
    return language


async def page_for_anybody(request: Request, language: Annotated[str, Depends(language_of)]) -> OfficePage:
    """A page that needs no login; it says who is logged in all the same."""
    return OfficePage(request, language, await _session(request))


async def page_behind_login(request: Request, language: Annotated[str, Depends(language_of)]) -> OfficePage:
    """A page behind the login. Raises LoginNeeded."""
    session = await _session(request)
    if session is None:
        raise LoginNeeded
    return OfficePage(request, language, session)


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form that came from a page of ours; 403 when it came from elsewhere, 413 when it is too long."""
    if not _same_origin(request):
        raise HTTPException(403, "this form was sent from another site")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_FORM_BYTES:
            raise HTTPException(413, f"a form has at most {MOST_FORM_BYTES} bytes")
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=50))
    except ValueError as error:
        raise HTTPException(422, "this is no form") from error


async def signed_form(request: Request, page: Annotated[OfficePage, Depends(page_behind_login)]) -> dict[str, str]:
    """The fields of a form of this session; 403 when it does not carry what its page gave it."""
    fields = await form_of(request)
    session = page.session
    if session is None or not hmac.compare_digest(fields.pop("csrf", "").encode(), session.csrf.encode()):
        raise HTTPException(403, "the form does not belong to this session: load the page again")
    return fields


def login_address(request: Request) -> str:
    """The login page, which leads back to what was asked for."""
    parts = request.url.path.split("/")
    language = parts[2] if len(parts) > 2 and parts[2] in LANGUAGES else LANGUAGES[0]
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    back = f"?next={quote(wanted, safe='/')}" if request.method == "GET" and len(parts) > 3 and parts[3] else ""
    return f"/office/{language}/login{back}"


async def _session(request: Request) -> Session | None:
    token = _token(request)
    if not token:
        return None
    return await office(request).threads.run(lambda connection: find_session(connection, token))


def _token(request: Request) -> str:
    return request.cookies.get(COOKIE, "")


def _same_origin(request: Request) -> bool:
    # Browsers say where a form comes from (Fetch Metadata; Origin before it). Programs say nothing, and have no cookie.
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


PageForAnybody = Annotated[OfficePage, Depends(page_for_anybody)]
PageBehindLogin = Annotated[OfficePage, Depends(page_behind_login)]
Form = Annotated[dict[str, str], Depends(form_of)]
SignedForm = Annotated[dict[str, str], Depends(signed_form)]
