"""The whole way of an event, a case or a directive: what `portalbus trace` prints, as a page."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from portalbus.connectors.console.accounts import Account
from portalbus.connectors.console.office import PageBehindLogin
from portalbus.streams.reading.tracing import Trace, Tracer

router = APIRouter(prefix="/office", include_in_schema=False)

MOST_CHARACTERS = 300


@router.get("/{language}/trace")
async def show_trace(page: PageBehindLogin, id: Annotated[str, Query(max_length=MOST_CHARACTERS)] = "") -> Response:
    """The form, and what the ledger knows of what was asked for."""
    asked = id.strip()
    found = await page.office.threads.run(lambda connection: Tracer(connection).trace(asked)) if asked else None
    if found is not None and not concerns(found, page.account):
        found = None  # that there is such a thing is not for everybody to know
    status = 404 if asked and found is None else 200
    return page.render("office_trace.html", here="trace", asked=asked, trace=found, status=status)


def concerns(trace: Trace, account: Account) -> bool:
    """True when an agency sent something of it, or handles or handled the case."""
    case = trace.rows.get("case") or {}
    agencies = {event.agency for event in trace.events} | {case[name] for name in ("receiver", "owner") if name in case}
    return any(account.may_see(agency) for agency in agencies)
