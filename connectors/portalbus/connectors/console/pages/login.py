"""Logging in and out."""

from __future__ import annotations

import re
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response

from portalbus.connectors.central.services import visitor_address
from portalbus.connectors.console.accounts import Account, check_password
from portalbus.connectors.console.office import PRIVATE, Form, OfficePage, PageForAnybody, SignedForm
from portalbus.connectors.console.sessions import COOKIE, LONGEST, begin_session, end_session
from portalbus.connectors.web.accept_language import preferred

router = APIRouter(prefix="/office", include_in_schema=False)

WITHIN = re.compile(r"/office/[a-z]{2}/[A-Za-z0-9/?=&%._~@-]*")
Address = Annotated[str, Depends(visitor_address)]
Next = Annotated[str, Query(max_length=500)]
HASHING = anyio.CapacityLimiter(2)
"""Each comparison of a password takes 32 MB and a core."""


@router.get("")
@router.get("/")
async def choose_language(request: Request) -> Response:
    """Sends a visitor to the language the browser asks for."""
    language = preferred(request.headers.get("accept-language", ""))
    return RedirectResponse(f"/office/{language}/", 302, {"Vary": "Accept-Language"})


@router.get("/{language}/login")
async def ask(page: PageForAnybody, next: Next = "") -> Response:
    """The form; who is logged in already goes on."""
    if page.session is not None:
        return RedirectResponse(_after(page, next), 303, PRIVATE)
    return page.render("office_login.html", here="login", next=next, name="", problem=None, wait=0)


@router.post("/{language}/login")
async def log_in(page: PageForAnybody, form: Form, address: Address) -> Response:
    """Begins a session. Too many tries of one address, or wrong ones for one name, have to wait."""
    name, password, wanted = (form.get(field, "") for field in ("name", "password", "next"))
    name = name.strip().lower()[:64]
    limit = page.office.login_limit
    if wait := limit.seconds_to_wait(f"address {address}"):
        return _refused(page, 429, wanted, name, "limited", wait)
    async with HASHING:
        account = await _checked(page, name, password)
    if account is None:  # who knows the password is kept out by nobody else's guesses
        wait = limit.seconds_to_wait(f"name {name}")
        return _refused(page, 429 if wait else 401, wanted, name, "limited" if wait else "wrong", wait)
    token = await page.office.threads.run(lambda connection: begin_session(connection, account))
    answer = RedirectResponse(_after(page, wanted), 303, PRIVATE)
    answer.set_cookie(
        COOKIE,
        token,
        max_age=int(LONGEST.total_seconds()),
        path="/office",
        secure=page.request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return answer


@router.post("/{language}/logout")
async def log_out(page: PageForAnybody, form: SignedForm) -> Response:
    """Ends the session."""
    token = page.request.cookies.get(COOKIE, "")
    await page.office.threads.run(lambda connection: end_session(connection, token))
    answer = RedirectResponse(f"/office/{page.language}/login", 303, PRIVATE)
    answer.delete_cookie(COOKIE, path="/office", httponly=True, samesite="strict")
    return answer


def _refused(page: OfficePage, status: int, wanted: str, name: str, problem: str, wait: int) -> Response:
    refused = page.render(
        "office_login.html", here="login", status=status, next=wanted, name=name, problem=problem, wait=wait
    )
    if wait:
        refused.headers["Retry-After"] = str(wait)
    return refused


async def _checked(page: OfficePage, name: str, password: str) -> Account | None:
    return await page.office.threads.run(lambda connection: check_password(connection, name, password))


def _after(page: OfficePage, wanted: str) -> str:
    """Where to go when logged in: only ever to a page of the console."""
    return wanted if WITHIN.fullmatch(wanted) and "//" not in wanted else f"/office/{page.language}/"
