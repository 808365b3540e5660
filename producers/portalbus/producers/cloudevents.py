"""CloudEvents 1.0 (structured JSON) as payloads: what `portalbus publish FILE` reads."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from portalbus.producers.draft import payload_from_json
from portalbus.producers.receipt import About
from portalbus.schemas.avro_files import NAMESPACE
from portalbus.schemas.directory import normalise_code
from portalbus.schemas.errors import EventRefused
from portalbus.schemas.findings import Finding
from portalbus.schemas.models import Payload

REQUIRED = ("specversion", "id", "source", "type", "data")
TEXTS = ("id", "source", "type", "correlationid", "causationid", "traceparent")


def from_cloudevent(event: Mapping[str, Any]) -> tuple[Payload, About]:
    """The payload of a CloudEvent, and the keyword arguments that `publish()` takes beside it.

    `type` is `portalbus.events.FeedbackReceived` or the bare name. Raises EventRefused with every finding; paths of
    the payload's own fields are relative to `data`.
    """
    about = attributes_of(event)
    return payload_from_json(event["type"].removeprefix(f"{NAMESPACE}."), event["data"]), about


def attributes_of(event: Mapping[str, Any]) -> About:
    """What a CloudEvent says beside its data, which is then known to be an object, as `type` is known to be a text.

    Raises EventRefused with every finding; paths are those of the CloudEvent.
    """
    if not isinstance(event, Mapping):
        raise EventRefused([_finding("schema.value", "", "JSON object")])
    missing = [name for name in REQUIRED if event.get(name) in (None, "")]
    if missing:
        raise EventRefused([_finding("schema.field-missing", f"/{name}") for name in missing])
    if event["specversion"] != "1.0":
        raise EventRefused([_finding("schema.value-not-allowed", "/specversion", "1.0")])
    if not isinstance(event["data"], Mapping):
        raise EventRefused([_finding("schema.value", "/data", "JSON object")])
    wrong = [name for name in TEXTS if event.get(name) is not None and not isinstance(event[name], str)]
    if wrong:
        raise EventRefused([_finding("schema.value", f"/{name}", "JSON string") for name in wrong])
    return About(
        event_id=event["id"],
        occurred_at=None if event.get("time") is None else _time(event["time"]),
        correlation_id=event.get("correlationid"),
        causation_id=event.get("causationid"),
        traceparent=event.get("traceparent"),
    )


def check_source(event: Mapping[str, Any], agency: str) -> None:
    """Raises EventRefused when a CloudEvent claims to come from another agency than the one that publishes it."""
    claimed = str(event.get("source", "")).strip("/").split("/", 1)[0]
    if normalise_code(claimed) != agency:
        raise EventRefused([Finding("lane.agency-mismatch", "/source", {"agency": claimed[:35], "lane": agency})])


def _time(text: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        advice = "RFC 3339: 2026-11-22T08:00:00+07:00"
        raise EventRefused([_finding("schema.format", "/time", advice)]) from None
    if moment.tzinfo is None:
        raise EventRefused([_finding("schema.time-without-zone", "/time")])
    return moment


def _finding(rule: str, path: str, bound: str = "") -> Finding:
    return Finding(rule, path, {"field": path or "/", "bound": bound})
