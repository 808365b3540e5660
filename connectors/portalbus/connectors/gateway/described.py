"""What requests and answers look like, for the OpenAPI description; the events are the models of the contracts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import AwareDatetime, BaseModel, Field, TypeAdapter
from pydantic.json_schema import models_json_schema

from portalbus.connectors.gateway.messages import BATCH, STRUCTURED
from portalbus.connectors.gateway.problems import MEDIA_TYPE, Problem
from portalbus.schemas.models import (
    DirectivePublished,
    EventId,
    FeedbackProgressed,
    FeedbackReceived,
    FeedbackResolved,
    Verdict,
)

REFERENCE = "#/components/schemas/{model}"
SECURITY = "key"
EVENT_TYPE = Field(description="Which event it is.")
EVENT_DATA = Field(description="What the event says.")


class CloudEvent(BaseModel):
    """What every event says of itself (CloudEvents 1.0). Further attributes are allowed and ignored."""

    specversion: Annotated[Literal["1.0"], Field(description="Always 1.0: the version of CloudEvents.")]
    id: Annotated[EventId, Field(description="A UUID of the event's own; the same one when it is sent again.")]
    source: Annotated[str, Field(description="Agency and portal: /H26/www.", examples=["/H26/www"])]
    time: Annotated[AwareDatetime, Field(description="When it happened; now, when it is left out.")] | None = None
    datacontenttype: Annotated[Literal["application/json"], Field(description="Always JSON.")] = "application/json"
    correlationid: Annotated[str, Field(max_length=128, description="What belongs together.")] | None = None
    causationid: Annotated[EventId, Field(description="Id of the event that led to this one.")] | None = None
    traceparent: Annotated[str, Field(description="W3C Trace Context.")] | None = None


class DirectivePublishedEvent(CloudEvent):
    """A directive was published, revised or withdrawn."""

    type: Annotated[Literal["portalbus.events.DirectivePublished"], EVENT_TYPE]
    data: Annotated[DirectivePublished, EVENT_DATA]


class FeedbackReceivedEvent(CloudEvent):
    """A portal received a feedback."""

    type: Annotated[Literal["portalbus.events.FeedbackReceived"], EVENT_TYPE]
    data: Annotated[FeedbackReceived, EVENT_DATA]


class FeedbackProgressedEvent(CloudEvent):
    """A CloudEvent that tells of a step in the life of a case."""

    type: Annotated[Literal["portalbus.events.FeedbackProgressed"], EVENT_TYPE]
    data: Annotated[FeedbackProgressed, EVENT_DATA]


class FeedbackResolvedEvent(CloudEvent):
    """An agency answered or refused a feedback."""

    type: Annotated[Literal["portalbus.events.FeedbackResolved"], EVENT_TYPE]
    data: Annotated[FeedbackResolved, EVENT_DATA]


EVENTS = (DirectivePublishedEvent, FeedbackReceivedEvent, FeedbackProgressedEvent, FeedbackResolvedEvent)
Event = Annotated[
    DirectivePublishedEvent | FeedbackReceivedEvent | FeedbackProgressedEvent | FeedbackResolvedEvent,
    Field(discriminator="type"),
]
Data = DirectivePublished | FeedbackReceived | FeedbackProgressed | FeedbackResolved


class Accepted(BaseModel):
    """The event is on its lane; its verdict follows."""

    status: Literal[202]
    id: str
    source: str
    sequence: int = Field(description="Its place among the events of its portal.")
    epoch: int = Field(description="Counts up when the gateway's outbox of the portal had to be repaired.")
    key: str = Field(description="The directive or case that it belongs to.")


class ItemAccepted(Accepted):
    """An event of a batch that is on its lane."""

    index: int = Field(description="Its place in the batch, from 0.")


class ItemRefused(BaseModel):
    """An event of a batch that was refused; nothing of it was stored."""

    index: int = Field(description="Its place in the batch, from 0.")
    status: int
    id: str | None
    problem: Problem


class BatchResult(BaseModel):
    """What became of each event of a batch, in its order."""

    accepted: Annotated[int, Field(description="How many are on their lane.")]
    refused: Annotated[int, Field(description="How many were refused.")]
    results: Annotated[
        list[ItemAccepted | ItemRefused], Field(description="One for each event: its id, or the problem with it.")
    ]


class VerdictPage(BaseModel):
    """Verdicts, oldest first; `next` is the cursor to ask with again."""

    verdicts: list[Verdict]
    next: str


PUBLISHED = (Accepted, BatchResult, Problem, VerdictPage)
TEXTS = {
    400: "What was sent cannot be read.",
    401: "No key, or none that is in use.",
    403: "The key is for another agency or portal.",
    404: "There is no such address.",
    405: "The address does not take this method.",
    408: "The body did not arrive in time.",
    409: "The id or Idempotency-Key was used for something else.",
    413: "Too much at once.",
    415: "A content type or encoding that is not taken.",
    422: "A rule refuses the event, or a parameter is not valid.",
    429: "Too fast; see Retry-After.",
    503: "Not now; send the same request again after Retry-After seconds.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The descriptions of these errors."""
    content = {MEDIA_TYPE: {"schema": {"$ref": REFERENCE.format(model="Problem")}}}
    return {status: {"description": TEXTS[status], "content": content} for status in statuses}


def events_body() -> dict[str, Any]:
    """The bodies that events come in."""
    event = TypeAdapter(Event).json_schema(ref_template=REFERENCE)
    event.pop("$defs", None)
    data = TypeAdapter(Data).json_schema(ref_template=REFERENCE)
    data.pop("$defs", None)
    return {
        "required": True,
        "content": {
            STRUCTURED: {"schema": event},
            BATCH: {"schema": {"type": "array", "items": event, "maxItems": 500}},
            "application/json": {"schema": data},
        },
    }


def described(app: FastAPI, description: str) -> dict[str, Any]:
    """The OpenAPI document of the application, with the models that no route returns."""
    document = get_openapi(
        title=app.title, version=app.version, description=description, routes=app.routes, tags=app.openapi_tags
    )
    models: list[type[BaseModel]] = [*EVENTS, *PUBLISHED]
    _, definitions = models_json_schema([(model, "validation") for model in models], ref_template=REFERENCE)
    components = document.setdefault("components", {})
    components["schemas"] = {**components.get("schemas", {}), **definitions["$defs"]}
    components["securitySchemes"] = {SECURITY: {"type": "http", "scheme": "bearer", "description": "An API key: pbk_…"}}
    return document
