"""Which portals carry a central directive, and which do not yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from portalbus.connectors.central.agency_names import AgencyName
from portalbus.connectors.console.office import OfficePage, PageBehindLogin
from portalbus.streams.reading.condition import conditions
from portalbus.streams.reading.coverage import Carrier, Coverage, coverage, recent_coverage

router = APIRouter(prefix="/office", include_in_schema=False)

CENTRAL = "G22"
"""The body whose directives are listed: the Government Office, which publishes the Prime Minister's."""


@dataclass(frozen=True, slots=True)
class Line:
    """One body: whether the directive names it, whether it was ever heard, and what it carries."""

    name: AgencyName
    named: bool
    heard: bool
    carrier: Carrier | None

    @property
    def state(self) -> str:
        """carries, unknown_yet (it was heard, and said nothing of it), or unheard."""
        return "carries" if self.carrier else "unknown_yet" if self.heard else "unheard"


@router.get("/{language}/coverage")
async def show_coverage(page: PageBehindLogin, key: Annotated[str, Query(max_length=300)] = "") -> Response:
    """One directive by key or number with every body, or the newest central directives with their counts."""
    asked = key.strip()
    if not asked:
        recent = await page.office.threads.run(lambda connection: recent_coverage(connection, CENTRAL))
        return page.render("office_coverage.html", here="coverage", asked="", found=None, lines=[], recent=recent)
    found, heard = await page.office.threads.run(
        lambda connection: (
            coverage(connection, asked),
            {row.agency.split(".")[0] for row in conditions(connection) if row.first_heard_at},
        )
    )
    lines = _lines(page, found, heard) if found else []
    status = 200 if found else 404
    return page.render(
        "office_coverage.html", here="coverage", asked=asked, found=found, lines=lines, recent=[], status=status
    )


def _lines(page: OfficePage, found: Coverage, heard: set[str]) -> list[Line]:
    """Every body but the issuer: those that are named first, then those that carry it, then by kind and code."""
    named = {code.split(".")[0] for code in found.directive.recipients}
    issuer = found.directive.agency.split(".")[0]
    lines = [
        Line(name, name.code in named, name.code in heard, found.carriers.get(name.code))
        for name in page.services.names.current(page.services.today())
        if name.code != issuer
    ]
    return sorted(lines, key=lambda line: (not line.named, line.carrier is None))
