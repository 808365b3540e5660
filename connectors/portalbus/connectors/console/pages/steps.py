"""What the buttons of the console send: one step, for one thing, with its reason."""

from __future__ import annotations

import re
from typing import Any

import anyio.to_thread
from fastapi import APIRouter, HTTPException
from fastapi.responses import RedirectResponse, Response

from portalbus.connectors.console.deciding import Step
from portalbus.connectors.console.journal import What
from portalbus.connectors.console.office import PRIVATE, PageBehindLogin, SignedForm
from portalbus.schemas.case_rules import is_reason, shortest_reason
from portalbus.schemas.facts import facts_now
from portalbus.schemas.spelling import AGENCY_CODE, CASE, PORTAL_ID

router = APIRouter(prefix="/office", include_in_schema=False)

LONGEST_WHY = 500
NUMBERS = re.compile(r"[0-9]{1,18}")
SHAPES = {
    "portal": PORTAL_ID,
    "case_id": CASE,
    "to": AGENCY_CODE,
    "owner": AGENCY_CODE,
}
ABOUT: dict[What, tuple[str, ...]] = {
    What.REDRIVE: ("lane_offset",),
    What.DISCARD: ("lane_offset",),
    What.CLOSE_GAP: ("portal", "epoch", "first", "last"),
    What.ASK: ("portal",),
    What.RECONCILE: (),
    What.ASSIGN: ("case_id", "to", "owner"),
    What.BLOCK: ("portal",),
    What.UNBLOCK: ("portal",),
}
LONG = frozenset({What.RECONCILE})
CENTRE_ONLY = frozenset({What.ASSIGN, What.BLOCK, What.UNBLOCK})
"""What is the centre's to decide, also where it is about an agency that is logged in."""


@router.post("/{language}/steps")
async def take_step(page: PageBehindLogin, form: SignedForm) -> Response:
    """Takes a step and leads back to the agency's page, which says what came of it."""
    step = step_of(form)
    page.check_may_see(step.agency)
    if step.what in CENTRE_ONLY and page.account.agency is not None:
        raise HTTPException(403, f"{step.what.value} is for the centre to decide")
    hands, who = page.office.hands, page.account.name
    if not hands.can(step.what):
        raise HTTPException(422, f"{step.what.value} needs what this process was not told of: the registry, an outbox")
    back = "undecided" if step.what is What.ASSIGN else f"agencies/{step.agency}"
    if (wanting := _wanting(step)) is not None:
        shown: dict[str, Any] = {
            "step": step,
            "wanting": wanting,
            "back": back,
            "longest": LONGEST_WHY,
            "words": shortest_reason(facts_now()),
        }
        return page.render("office_again.html", status=422, path=f"/{back}", **shown)
    number = await page.office.threads.run(lambda connection: hands.begin(connection, who, step))
    if step.what in LONG:
        page.office.do_later(number, who, step)
    else:
        await anyio.to_thread.run_sync(hands.finish, number, who, step)
    return RedirectResponse(f"/office/{page.language}/{back}?done={number}", 303, PRIVATE)


def step_of(form: dict[str, str]) -> Step:
    """The step that a form describes, its reason as it was typed. Raises 422 for one that no page of ours sent."""
    try:
        what = What(form.get("what", ""))
    except ValueError:
        raise HTTPException(422, "what: this is no step of the console") from None
    why = " ".join(form.get("why", "").split())
    return Step(what, form.get("agency", ""), why, {name: _value(name, form.get(name, "")) for name in ABOUT[what]})


def _wanting(step: Step) -> str | None:
    """The name of the text that says what the reason lacks."""
    if not step.why or len(step.why) > LONGEST_WHY:
        return "again.why"
    return "again.words" if step.what is What.ASSIGN and not is_reason(step.why, facts_now()) else None


def _value(name: str, text: str) -> Any:
    shape = SHAPES.get(name)
    if shape is not None:
        if shape.fullmatch(text):
            return text
    elif NUMBERS.fullmatch(text):
        return int(text)
    raise HTTPException(422, f"{name}: {text[:40]!r} is none")
