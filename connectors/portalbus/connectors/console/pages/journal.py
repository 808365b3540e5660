"""What was done in the console, by whom, when and why."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from portalbus.connectors.console.journal import deeds
from portalbus.connectors.console.office import PageBehindLogin

router = APIRouter(prefix="/office", include_in_schema=False)

SHOWN = 200


@router.get("/{language}/journal")
async def show_journal(page: PageBehindLogin) -> Response:
    """The newest steps of the agency that is logged in, for the centre those of all."""
    agency = page.account.agency
    rows = await page.office.threads.run(lambda connection: deeds(connection, agency, SHOWN))
    return page.render("office_journal.html", here="journal", deeds=rows)
