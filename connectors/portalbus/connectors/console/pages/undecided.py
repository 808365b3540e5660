"""Cases that only a person may move on: what `portalbus cases undecided` lists, and a form to give one to a body.

Below them what `portalbus cases mismatches` lists: cases that are with another body than the rules name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response
from psycopg import Connection

from portalbus.connectors.console.accounts import Account
from portalbus.connectors.console.journal import Deed, What, deed
from portalbus.connectors.console.office import PageBehindLogin
from portalbus.schemas.catalogue import catalogue
from portalbus.schemas.directory import directory, first_level
from portalbus.schemas.findings import Finding
from portalbus.schemas.law.competence import competence
from portalbus.streams.ledger.case_desk import CaseDecision, case_decisions
from portalbus.streams.reading.casework import Mismatch, mismatches
from portalbus.streams.reading.undecided import Undecided, undecided

router = APIRouter(prefix="/office", include_in_schema=False)

SHOWN = 30
"""Cases of one page: each has a form with every body of the country."""
DECISIONS = 20
MISMATCHES = 30


@dataclass(frozen=True, slots=True)
class Open:
    """One case as the page shows it: the rule that refused its transfer, and the bodies named first in the form."""

    of: Undecided
    refusal: Finding | None
    first: tuple[str, ...]

    @property
    def agency(self) -> str:
        """Under whose name a decision about it stands in the journal."""
        return first_level(self.of.case.owner)


@router.get("/{language}/undecided")
async def show_undecided(page: PageBehindLogin, done: Annotated[int, Query(ge=0, le=2**62)] = 0) -> Response:
    """The list, urgent cases first; with `done`, what came of the decision that was just taken."""
    account, today = page.account, page.services.today()

    def read(
        connection: Connection[Any],
    ) -> tuple[list[Undecided], list[Mismatch], list[CaseDecision], Deed | None]:
        found = undecided(connection, directory(), competence(), today)
        elsewhere = mismatches(connection, account.agency, limit=MISMATCHES + 1)
        decided = case_decisions(connection, limit=DECISIONS, agency=account.agency)
        return found, elsewhere, decided, deed(connection, done) if done else None

    found, elsewhere, decided, last = await page.office.threads.run(read)
    mine = [one for one in found if concerns(account, (one.case.owner, one.case.receiver, *one.case.passed))]
    return page.render(
        "office_undecided.html",
        here="undecided",
        cases=[_open(one) for one in mine[:SHOWN]],
        more=max(len(mine) - SHOWN, 0),
        elsewhere=elsewhere[:MISMATCHES],
        more_elsewhere=len(elsewhere) > MISMATCHES,
        decisions=decided,
        done=(shown := last if last is not None and last.what == What.ASSIGN and account.agency is None else None),
        done_rule=_refusal(shown),
        bodies=page.services.names.current(today),
        decides=account.agency is None,
        can_assign=page.office.hands.can(What.ASSIGN),
    )


def concerns(account: Account, agencies: Iterable[str]) -> bool:
    """True for the centre, and for an agency that has or had the case, or got it from somebody."""
    return any(account.may_see(agency) for agency in agencies)


def _refusal(done: Deed | None) -> Finding | None:
    """The rule by which a decision came to nothing, for whoever took it."""
    if done is None or done.outcome not in ("rejected", "refused"):
        return None
    rule = (done.figures or {}).get("rule", "")
    return Finding(rule, "", {}) if rule in catalogue() else None


def _open(one: Undecided) -> Open:
    rule = one.case.rule or ""
    return Open(one, Finding(rule, "", _params(one)) if rule in catalogue() else None, _first(one))


def _params(one: Undecided) -> dict[str, str]:
    """What fills the places of the rules that refuse a transfer."""
    to = one.case.refused_to or "–"
    successors, count = ", ".join(one.candidates) or "–", str(max(len(one.case.passed) - 1, 0))
    return {"to": to, "code": to, "count": count, "successors": successors}


def _first(one: Undecided) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*((one.suggested,) if one.suggested else ()), *one.candidates)))
