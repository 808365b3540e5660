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
from portalbus.schemas.case_rules import MIN_REASON_CHARACTERS, is_reason
from portalbus.schemas.directory import CODE

router = APIRouter(prefix="/office", include_in_schema=False)

LONGEST_WHY = 500
NUMBERS = re.compile(r"[0-9]{1,18}")
SHAPES = {
    "portal": re.compile(r"[a-z0-9._-]{1,64}"),
    "case_id": re.compile(r"[A-Z0-9.]{3,35}-[A-Za-z0-9._/-]{1,64}"),
    "to": CODE,
}
ABOUT: dict[What, tuple[str, ...]] = {
    What.REDRIVE: ("lane_offset",),
    What.DISCARD: ("lane_offset",),
    What.CLOSE_GAP: ("portal", "epoch", "first", "last"),
    What.ASK: ("portal",),
    What.RECONCILE: (),
    What.ASSIGN: ("case_id", "to"),
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
    number = await page.office.threads.run(lambda connection: hands.begin(connection, who, step))
    if step.what in LONG:
        page.office.do_later(number, who, step)
    else:
        await anyio.to_thread.run_sync(hands.finish, number, who, step)
    back = "undecided" if step.what is What.ASSIGN else f"agencies/{step.agency}"
    return RedirectResponse(f"/office/{page.language}/{back}?done={number}", 303, PRIVATE)


def step_of(form: dict[str, str]) -> Step:
    """The step that a form describes. Raises 422 for one that is not whole."""
    try:
        what = What(form.get("what", ""))
    except ValueError:
        raise HTTPException(422, "what: this is no step of the console") from None
    why = " ".join(form.get("why", "").split())
    if not why or len(why) > LONGEST_WHY:
        raise HTTPException(422, f"why: say in up to {LONGEST_WHY} characters why; it is kept with the step")
    if what is What.ASSIGN and not is_reason(why):
        raise HTTPException(422, f"why: give the reason in words, at least {MIN_REASON_CHARACTERS} characters")
    return Step(what, form.get("agency", ""), why, {name: _value(name, form.get(name, "")) for name in ABOUT[what]})


def _value(name: str, text: str) -> Any:
    shape = SHAPES.get(name)
    if shape is not None:
        if shape.fullmatch(text):
            return text
    elif NUMBERS.fullmatch(text):
        return int(text)
    raise HTTPException(422, f"{name}: {text[:40]!r} is none")
