"""Taking events in."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from portalbus.connectors.gateway.described import REFERENCE, SECURITY, events_body, problems
from portalbus.connectors.gateway.problems import MEDIA_TYPE
from portalbus.connectors.gateway.services import Services, services

router = APIRouter()

PATH = "/v1/events"
ALL_OR_SOME = (202, 207)

RECEIVED = {
    "description": "Every event is on its lane: the bus will not lose it. A batch gets a result for each event.",
    "content": {
        "application/json": {
            "schema": {
                "anyOf": [
                    {"$ref": REFERENCE.format(model="Accepted")},
                    {"$ref": REFERENCE.format(model="BatchResult")},
                ]
            }
        }
    },
}
PARTLY = {
    "description": "A batch of which at least one event was refused; the others are on their lane.",
    "content": {"application/json": {"schema": {"$ref": REFERENCE.format(model="BatchResult")}}},
}
PARAMETERS = [
    {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "Any retry with the same key gets the first answer, for seven days. Without one, the ids of the"
        " events keep a retry from doubling anything.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!#-~]+$"},
    },
    {
        "name": "Accept-Language",
        "in": "header",
        "required": False,
        "description": "The language of problems: vi, en or zh.",
        "schema": {"type": "string", "enum": ["vi", "en", "zh"]},
    },
]


@router.post(
    PATH,
    tags=["events"],
    summary="Publish one event or a batch",
    status_code=202,
    response_class=Response,
    responses={202: RECEIVED, 207: PARTLY, **problems(400, 401, 403, 408, 409, 413, 415, 422, 429, 503)},
    openapi_extra={"requestBody": events_body(), "parameters": PARAMETERS, "security": [{SECURITY: []}]},
)
async def publish(request: Request) -> Response:
    """CloudEvents 1.0: structured, as a batch, or in binary mode with `ce-` headers.

    202 comes when the broker has acknowledged every event with all its replicas. Send anything else that is not 4xx
    again, with the same ids: nothing doubles.
    """
    return await take_in(services(request), request)


async def take_in(parts: Services, request: Request) -> Response:
    """The answer to a request with events. Raises Refusal, PortalbusError."""
    key = parts.gate.admit(request)
    try:
        answer = await parts.intake.answer(key, request)
    except ClientDisconnect:
        return Response(status_code=400)  # nobody is there to read it
    media = "application/json" if answer.status in ALL_OR_SOME else MEDIA_TYPE
    return Response(answer.body, answer.status, media_type=media)
