"""Bringing verdicts back."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated

import anyio
from fastapi import APIRouter, Header, Query, Request, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from portalbus.connectors.gateway.described import REFERENCE, SECURITY, problems
from portalbus.connectors.gateway.keys import ApiKey
from portalbus.connectors.gateway.problems import Refusal
from portalbus.connectors.gateway.services import Services, services
from portalbus.connectors.gateway.source import Source
from portalbus.schemas.errors import PortalbusError
from portalbus.schemas.spelling import PORTAL

router = APIRouter()

RETRY_MS = 3_000
MOST = 500
CURSOR = r"^[0-9]{1,18}$"
EVENT_ID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
PAGE = {
    "description": "Verdicts, oldest first, and the cursor behind them.",
    "content": {"application/json": {"schema": {"$ref": REFERENCE.format(model="VerdictPage")}}},
}
STREAM = {
    "description": "An endless stream: `verdict`, its id a cursor, its data a Verdict; and `heartbeat`.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}
Portal = Annotated[
    str | None,
    Query(pattern=PORTAL, description="Which portal; needed with a key that is for all portals of its agency."),
]
After = Annotated[
    str | None, Query(pattern=CURSOR, description="Only what came behind this cursor: the `next` of the last answer.")
]


@router.get(
    "/v1/verdicts",
    tags=["verdicts"],
    summary="Ask what the centre decided",
    response_class=Response,
    responses={200: PAGE, **problems(401, 403, 422, 429, 503)},
    openapi_extra={"security": [{SECURITY: []}]},
)
async def ask(
    request: Request,
    portal: Portal = None,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=MOST, description="So many at most.")] = 100,
    wait: Annotated[float, Query(ge=0, le=60, description="Seconds to wait for the first one.")] = 0,
    event_id: Annotated[str | None, Query(pattern=EVENT_ID, description="Only those on this event.")] = None,
) -> Response:
    """The verdicts on the events of a portal, as long as they are kept (30 days). An event that waits for another one
    gets a verdict that is not `final` first. With `wait`, the answer comes with the first verdict, or empty.
    """
    parts, key = services(request), services(request).gate.admit(request)
    parts.gate.count(key, 1)
    parts.verdicts.check_room(key)
    start = _cursor(after or "0")
    patience = min(wait, parts.settings.longest_wait_s)
    found = await parts.verdicts.ask(key, _portal(key, portal), start, limit, patience, event_id)
    last = found[-1][0] if found else start
    body = f'{{"verdicts":[{",".join(text for _, text in found)}],"next":"{last + 1}"}}'
    return Response(body.encode(), media_type="application/json")


@router.get(
    "/v1/verdicts/stream",
    tags=["verdicts"],
    summary="Follow what the centre decides",
    response_class=EventSourceResponse,
    responses={200: STREAM, **problems(401, 403, 422, 429, 503)},
    openapi_extra={"security": [{SECURITY: []}]},
)
async def stream(
    request: Request,
    portal: Portal = None,
    after: After = None,
    last_event_id: Annotated[
        str | None, Header(max_length=40, description="The last id that was heard; a browser sends it by itself.")
    ] = None,
) -> Response:
    """Verdicts as server-sent events, as they come; without a cursor from now on. Come back with the last id that you
    have heard: nothing in between is left out.
    """
    parts, key = services(request), services(request).gate.admit(request)
    parts.gate.count(key, 1)
    parts.verdicts.check_room(key)
    heard = last_event_id or ""
    known = heard.isascii() and heard.isdecimal() and len(heard) < 19
    began = heard if known else after
    start = None if began is None else _cursor(began)
    source = await parts.verdicts.source(key, _portal(key, portal))
    ending = anyio.Event()  # set when the process is asked to stop
    return EventSourceResponse(
        _told(parts, key, source, start, ending),
        shutdown_event=ending,
        shutdown_grace_period=2,
        ping=0x7FFFFFFF,  # the stream has heartbeats of its own
        send_timeout=30,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _told(
    parts: Services, key: ApiKey, source: Source, start: int | None, ending: anyio.Event
) -> AsyncIterator[ServerSentEvent]:
    # Readers that were cut off together do not come back together.
    yield ServerSentEvent(comment="portalbus", retry=RETRY_MS + random.randrange(RETRY_MS))  # noqa: S311
    # An end without a word makes a reader connect again, from the last id it has heard.
    with suppress(PortalbusError):
        async for found in parts.verdicts.follow(key, source, start):
            if ending.is_set():
                return
            for cursor, text in found:
                yield ServerSentEvent(text, event="verdict", id=str(cursor + 1))
            if not found:
                yield ServerSentEvent(json.dumps({}), event="heartbeat")


def _cursor(text: str) -> int:
    """A cursor names the first verdict that was not read yet; what was read lies before it."""
    return int(text) - 1


def _portal(key: ApiKey, asked: str | None) -> str:
    if key.portal is None:
        if asked is None:
            raise Refusal("gateway.portal-missing")
        return asked
    if asked not in (None, key.portal):
        raise Refusal("gateway.portal-not-yours", {"portal": key.portal, "agency": key.agency})
    return key.portal
