"""Events of the bus as CloudEvents 1.0 in JSON: for everybody, for partners, and whole for who handles the case. Pure.

Of a feedback everybody may know which body has it and what came out. Its number goes to partners, who may meet it
again; its text, its public code and the pseudonym only to the bodies that handle it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from portalbus.connectors.push.wanted import VERDICT, Concerns
from portalbus.schemas.avro_files import NAMESPACE
from portalbus.schemas.models import (
    DirectivePublished,
    Event,
    FeedbackProgressed,
    FeedbackReceived,
    FeedbackResolved,
    Payload,
    Verdict,
)

CONTENT_TYPE = "application/cloudevents+json"
CONFIDENTIAL = frozenset({"subject", "content", "pseudonym", "public_code"})
UNPUBLISHED_ANSWER = frozenset({"answer", "reason_text"})
REASON = frozenset({"reason"})


@dataclass(frozen=True, slots=True)
class Message:
    """One event as it is told. `number` grows in the ledger's order; `whole` is None where `body` says all there is."""

    number: int
    webhook_id: str
    key: str
    position: int
    concerns: Concerns
    body: str
    whole: str | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around the data of a CloudEvent; `event_type` without its namespace."""

    id: str
    source: str
    event_type: str
    subject: str
    time: datetime
    position: int
    shown_from: datetime | None = None


def event_message(event: Event, position: int, shown_from: datetime | None = None) -> Message:
    """An accepted event as a message. Raises TypeError for a canary, which is for nobody.

    `shown_from` tells of an answer whose review may still run: nobody may show it before. It is the attribute
    `shownfrom` of the CloudEvent.
    """
    envelope, payload = event.envelope, event.payload
    frame = Frame(
        envelope.id, f"/{envelope.source}", payload.event_type, event.key, envelope.occurred_at, position, shown_from
    )
    confidential = confidential_fields(payload)
    said = payload.model_dump(mode="json")
    return Message(
        number=2 * position,
        webhook_id=envelope.id,
        key=event.key,
        position=position,
        concerns=Concerns(payload.event_type, concerned(envelope.agency, payload), _language(payload)),
        body=cloudevent(frame, {name: value for name, value in said.items() if name not in confidential}),
        whole=cloudevent(frame, said) if confidential else None,
    )


def verdict_message(verdict: Verdict, position: int) -> Message:
    """A verdict as a message, in the order of the directive or case that it is about."""
    webhook_id = f"verdict-{position}"
    subject = verdict.key or f"{verdict.lane}@{verdict.offset}"
    frame = Frame(webhook_id, "/central", VERDICT, subject, verdict.judged_at, position)
    body = cloudevent(frame, verdict.model_dump(mode="json"))
    concerns = Concerns(VERDICT, frozenset({verdict.agency}), None)
    return Message(2 * position + 1, webhook_id, verdict.key or webhook_id, position, concerns, body)


def cloudevent(frame: Frame, data: Mapping[str, Any]) -> str:
    """A CloudEvent in structured JSON. The position is text: it may be larger than CloudEvents' integers."""
    event = {
        "specversion": "1.0",
        "id": frame.id,
        "source": frame.source,
        "type": f"{NAMESPACE}.{frame.event_type}",
        **({"subject": frame.subject} if frame.subject else {}),
        "time": _rfc3339(frame.time),
        "position": str(frame.position),
        **({"shownfrom": _rfc3339(frame.shown_from)} if frame.shown_from else {}),
        "datacontenttype": "application/json",
        "data": data,
    }
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def concerned(agency: str, payload: Payload) -> frozenset[str]:
    """The bodies that an event of `agency` concerns: who says it, and who has the case or had it first."""
    if isinstance(payload, FeedbackReceived):
        return frozenset({agency, payload.addressed_to})
    if isinstance(payload, FeedbackResolved):
        return frozenset({agency, payload.case_id.partition("-")[0]})
    if isinstance(payload, FeedbackProgressed):
        return frozenset({agency, payload.case_id.partition("-")[0], payload.to_agency or agency})
    return frozenset({agency})


def confidential_fields(payload: Payload) -> frozenset[str]:
    """The fields of a payload that only the bodies concerned may read. Raises TypeError for a canary."""
    if isinstance(payload, FeedbackReceived):
        return CONFIDENTIAL
    if isinstance(payload, FeedbackResolved):
        return frozenset() if payload.public else UNPUBLISHED_ANSWER
    if isinstance(payload, FeedbackProgressed):
        return REASON
    if isinstance(payload, DirectivePublished):
        return frozenset()
    raise TypeError(f"a {type(payload).__name__} is told to nobody")


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _language(payload: Payload) -> str | None:
    return getattr(payload, "language", None)
