"""From a service request to a feedback, and to its answer once it is closed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from portalbus.connectors.pull import dates, naming
from portalbus.connectors.pull.found import FoundItem
from portalbus.connectors.pull.mapping import FieldRule, mapped
from portalbus.connectors.pull.open311.requests import ServiceRequest, id_of
from portalbus.connectors.pull.open311.settings import Open311Config
from portalbus.connectors.pull.redaction import redacted
from portalbus.schemas.models import FeedbackReceived, FeedbackResolved, Outcome

CLOSED = "closed"
RESOLVED = "#resolved"

DEFAULTS: Mapping[str, Any] = {
    "channel": {"default": "APP"},
    "received_at": "requested_datetime",
    "subject": ["service_name", "service_code"],
    "content": ["description", "service_name"],
    "language": {"default": "vi"},
    "answer": "status_notes",
    "answered_at": "updated_datetime",
}
"""Where the specification's fields go. Where somebody saw something (address, lat, long) stays at the portal: the
contract has no place for it."""

_RECEIVED_TEXTS = ("subject", "content")
_NAMES = ("first_name", "last_name", "name")


def resolved_id(item_id: str) -> str:
    """The id of the item that says how a case ended."""
    return f"{item_id}{RESOLVED}"


def items_of(request: ServiceRequest, rules: Mapping[str, FieldRule], config: Open311Config) -> Iterator[FoundItem]:
    """The feedback, then its answer when the request is closed. A request without an id gives nothing."""
    item_id = id_of(request)
    if not item_id:
        return
    mark = f"{request.get('status', '')} {request.get('updated_datetime', '')}"
    fields = mapped(rules, request.get)
    names = [str(request[name]) for name in _NAMES if request.get(name)]
    received = {
        "addressed_to": config.agency,
        "regime": config.regime,
        "category": config.category,
        **{name: value for name, value in fields.items() if name in FeedbackReceived.model_fields},
    }
    for name in _RECEIVED_TEXTS:
        if isinstance(received.get(name), str):
            received[name] = redacted(str(received[name]), names)
    made = dates.moment(received.get("received_at"))
    yield FoundItem(item_id, received, FeedbackReceived.event_type, occurred_at=made, mark=mark)
    if str(request.get("status", "")).strip().lower() == CLOSED:
        case = fields.get("case_id") or naming.case_id(config.agency, config.portal, config.entry, item_id)
        answer = _answer(fields, str(case), config)
        closed = dates.moment(answer.get("answered_at"))
        yield FoundItem(resolved_id(item_id), answer, FeedbackResolved.event_type, occurred_at=closed, mark=mark)


def _answer(fields: Mapping[str, Any], case: str, config: Open311Config) -> dict[str, Any]:
    said = {name: value for name, value in fields.items() if name in FeedbackResolved.model_fields}
    said["case_id"] = case
    if "outcome" in said:
        return said
    notes = str(said.get("answer", ""))
    for refusal in config.refusals:
        if refusal.says.search(notes):
            said.pop("answer", None)
            return {
                "reason_code": refusal.reason.value,
                "reason_text": notes,
                "legal_basis": config.legal_basis,
                **said,
                "outcome": Outcome.REJECTED.value,
            }
    return {**said, "outcome": Outcome.ANSWERED.value}
