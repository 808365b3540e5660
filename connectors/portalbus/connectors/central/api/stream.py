"""The stream of accepted events, as server-sent events."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated

import anyio
import psycopg
from fastapi import APIRouter, Depends, Header, HTTPException, Query, Response
from psycopg_pool import PoolTimeout
from sse_starlette import EventSourceResponse, ServerSentEvent

from portalbus.connectors.central.event_stream import TYPES, BeginAnew, EventStream, Item, Told
from portalbus.connectors.central.problems import PROBLEM_ANSWERS
from portalbus.connectors.central.services import Services, services, visitor_address
from portalbus.connectors.push.wanted import Wanted
from portalbus.connectors.web.listeners import TooManyListeners

router = APIRouter(prefix="/api/v1")

RETRY_MS = 3_000
MAX_POSITION = 2**62
MOST_NAMED = 20
Names = Annotated[list[str], Query(max_length=MOST_NAMED)]
STREAM = {
    "description": "An endless stream: events named by their type, `heartbeat` and `reset`. The id of each is a"
    " position of the ledger; the data a CloudEvent in JSON.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


@router.get(
    "/stream",
    tags=["stream"],
    summary="Follow accepted events live",
    response_class=EventSourceResponse,
    responses={200: STREAM, 422: PROBLEM_ANSWERS[422], 503: PROBLEM_ANSWERS[503]},
)
async def stream(
    parts: Annotated[Services, Depends(services)],
    address: Annotated[str, Depends(visitor_address)],
    agency: Annotated[
        list[str],
        Query(max_length=MOST_NAMED, description="Only what concerns these agencies, such as H26."),
    ] = [],  # noqa: B006 - FastAPI copies it
    type: Annotated[
        list[str],
        Query(max_length=MOST_NAMED, description=f"Only these event types: {', '.join(TYPES)}."),
    ] = [],  # noqa: B006
    lang: Annotated[
        list[str], Query(max_length=MOST_NAMED, description="Only documents in these languages, such as vi.")
    ] = [],  # noqa: B006
    after: Annotated[
        int | None, Query(ge=0, le=MAX_POSITION, description="Begin behind this position; without it, from now on.")
    ] = None,
    last_event_id: Annotated[
        str | None, Header(max_length=40, description="The last id that was heard: nothing after it is left out.")
    ] = None,
) -> Response:
    """Each accepted event once, in the order of the ledger. A reader that comes back with the last id it has heard
    misses nothing; after too long an absence it gets `reset`, and has to read the lists anew.
    """
    if unknown := sorted(set(type) - set(TYPES)):
        raise HTTPException(422, f"type: {', '.join(unknown)} is not one of {', '.join(TYPES)}")
    wanted = Wanted.of(agency, type, lang)
    heard = last_event_id or ""
    start = int(heard) if heard.isdecimal() and heard.isascii() and len(heard) < 19 else after
    try:
        parts.stream.check_room(address)
    except TooManyListeners:
        raise HTTPException(503, "too many readers are connected; try again later", {"Retry-After": "60"}) from None
    ending = anyio.Event()  # set when the process is asked to stop
    return EventSourceResponse(
        _events(parts.stream, wanted, start, address, ending),
        shutdown_event=ending,
        shutdown_grace_period=2,
        ping=0,  # the heartbeats of the stream carry a position
        send_timeout=30,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _events(
    source: EventStream, wanted: Wanted, after: int | None, address: str, ending: anyio.Event
) -> AsyncIterator[ServerSentEvent]:
    # Readers that were cut off together do not come back together.
    yield ServerSentEvent(comment="portalbus", retry=RETRY_MS + random.randrange(RETRY_MS))  # noqa: S311
    # An end without a word makes a reader connect again, from the last position it has heard.
    with suppress(psycopg.Error, PoolTimeout, TooManyListeners):
        async for item in source.listen(wanted, after, address, ending):
            yield _sent(item)


def _sent(item: Item) -> ServerSentEvent:
    position = str(item.position)
    if isinstance(item, Told):
        return ServerSentEvent(item.text, event=item.event_type, id=position)
    if isinstance(item, BeginAnew):
        mend = "read the lists under /api/v1/ anew; the stream goes on from this position"
        said = {"position": position, "reason": item.reason, "mend": mend}
        return ServerSentEvent(json.dumps(said), event="reset", id=position)
    return ServerSentEvent(json.dumps({"position": position}), event="heartbeat", id=position)
