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

router = APIRouter(prefix="/office", include_in_schema=False)

LONGEST_WHY = 500
NUMBERS = re.compile(r"[0-9]{1,18}")
PORTAL = re.compile(r"[a-z0-9._-]{1,64}")
ABOUT: dict[What, tuple[str, ...]] = {
    What.REDRIVE: ("lane_offset",),
    What.DISCARD: ("lane_offset",),
    What.CLOSE_GAP: ("portal", "epoch", "first", "last"),
    What.ASK: ("portal",),
    What.RECONCILE: (),
}
LONG = frozenset({What.RECONCILE})


@router.post("/{language}/steps")
async def take_step(page: PageBehindLogin, form: SignedForm) -> Response:
    """Takes a step and leads back to the agency's page, which says what came of it."""
    step = step_of(form)
    page.check_may_see(step.agency)
    hands, who = page.office.hands, page.account.name
    if not hands.can(step.what):
        raise HTTPException(422, f"{step.what.value} needs the schema registry, which this process was not told of")
    number = await page.office.threads.run(lambda connection: hands.begin(connection, who, step))
    if step.what in LONG:
        page.office.do_later(number, who, step)
    else:
        await anyio.to_thread.run_sync(hands.finish, number, who, step)
    address = f"/office/{page.language}/agencies/{step.agency}?done={number}"
    return RedirectResponse(address, 303, PRIVATE)


def step_of(form: dict[str, str]) -> Step:
    """The step that a form describes. Raises 422 for one that is not whole."""
    try:
        what = What(form.get("what", ""))
    except ValueError:
        raise HTTPException(422, "what: this is no step of the console") from None
    why = " ".join(form.get("why", "").split())
    if not why or len(why) > LONGEST_WHY:
        raise HTTPException(422, f"why: say in up to {LONGEST_WHY} characters why; it is kept with the step")
    return Step(what, form.get("agency", ""), why, {name: _value(name, form.get(name, "")) for name in ABOUT[what]})


def _value(name: str, text: str) -> Any:
    if name == "portal":
        if PORTAL.fullmatch(text):
            return text
    elif NUMBERS.fullmatch(text):
        return int(text)
    raise HTTPException(422, f"{name}: {text[:40]!r} is none")
