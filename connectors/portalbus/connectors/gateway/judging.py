"""A CloudEvent becomes a draft of its source, or is refused by the rules that hold at every door of the bus. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from portalbus.connectors.gateway.keys import ApiKey
from portalbus.producers.cloudevents import attributes_of, check_source
from portalbus.producers.draft import Draft, Drafter, payload_from_json
from portalbus.schemas.avro_files import NAMESPACE
from portalbus.schemas.errors import EventRefused
from portalbus.schemas.facts import MAX_AHEAD_AT_GATEWAY
from portalbus.schemas.findings import Finding
from portalbus.schemas.models import PAYLOADS
from portalbus.schemas.spelling import PORTAL_ID

LARGE_BYTES = 16 * 1024
MOST_MEMBERS = 100
"""No record of the contracts has so many fields; each unknown one would be an error of its own."""
MOST_NAMED = 20
ENVELOPE = {
    "/envelope/id": "/id",
    "/envelope/occurred_at": "/time",
    "/envelope/correlation_id": "/correlationid",
    "/envelope/causation_id": "/causationid",
    "/envelope/traceparent": "/traceparent",
    "/envelope/agency": "/source",
    "/envelope/portal": "/source",
}
JSON_TYPES = ("application/json", "text/json")


@dataclass(frozen=True, slots=True)
class Accepted:
    """An event that no rule of its own refuses, and the portal that says it."""

    portal: str
    draft: Draft


@dataclass(frozen=True, slots=True)
class Refused:
    """An event that is refused; the findings' paths are pointers into the CloudEvent."""

    event_id: str | None
    event_type: str | None
    findings: tuple[Finding, ...]


Judged = Accepted | Refused


class _NotYours(Exception):
    """A rule of the gateway's own, which the catalogue of the contracts does not hold."""

    def __init__(self, key: ApiKey) -> None:
        params = {"portal": str(key.portal), "agency": key.agency}
        self.findings = (Finding("gateway.portal-not-yours", "/source", params),)


def judged(event: Any, key: ApiKey, size: int, traceparent: str | None = None) -> Judged:
    """The draft of a CloudEvent, or what is wrong with it. `size` bytes is what the request took at most.

    `traceparent` is that of the request, for an event without one of its own.
    """
    event_type = _type_of(event)
    try:
        return _accepted(event, event_type, key, size, traceparent)
    except (EventRefused, _NotYours) as error:
        event_id = event.get("id") if isinstance(event, Mapping) else None
        shown = event_id if isinstance(event_id, str) and len(event_id) <= LONGEST_ID else None
        return Refused(shown, event_type, error.findings)


def _accepted(event: Any, event_type: str | None, key: ApiKey, size: int, traceparent: str | None) -> Accepted:
    about = attributes_of(event)
    _check_data_type(event)
    check_source(event, key.agency)
    portal = _portal(event["source"], key)
    if size > LARGE_BYTES:
        _check_members(event["data"], "/data")
    if traceparent and not about.get("traceparent"):
        about["traceparent"] = traceparent
    try:
        payload = payload_from_json(event_type or event["type"], event["data"])
    except EventRefused as error:
        # An unknown type is found before the data are looked at.
        known = event_type in PAYLOADS
        raise EventRefused([_inside(one) for one in error.findings] if known else error.findings) from None
    try:
        return Accepted(portal, _drafter(key.agency, portal).draft(payload, **about))
    except EventRefused as error:
        raise EventRefused([_inside(one) for one in error.findings]) from None


@lru_cache(maxsize=1_024)
def _drafter(agency: str, portal: str) -> Drafter:
    return Drafter(agency, portal, ahead=MAX_AHEAD_AT_GATEWAY)


def _portal(source: str, key: ApiKey) -> str:
    """The portal that speaks: what the source says, or what the key is bound to."""
    _, _, claimed = source.strip("/").partition("/")
    if key.portal is not None:
        if claimed not in ("", key.portal):
            raise _NotYours(key)
        return key.portal
    if not PORTAL_ID.fullmatch(claimed):
        bound = f"/{key.agency}/www"
        raise EventRefused([Finding("schema.format", "/source", {"field": "/source", "bound": bound})])
    return claimed


def _check_data_type(event: Mapping[str, Any]) -> None:
    """The data are JSON: nothing else may be said of them."""
    said = event.get("datacontenttype")
    media = said.partition(";")[0].strip().lower() if isinstance(said, str) else said
    if media is not None and (not isinstance(media, str) or not (media in JSON_TYPES or media.endswith("+json"))):
        bound = "application/json"
        raise EventRefused(
            [Finding("schema.value-not-allowed", "/datacontenttype", {"field": "/datacontenttype", "bound": bound})]
        )


def _check_members(value: Any, place: str) -> None:
    """Refuses an object with more members than any contract has, before each is looked at."""
    if isinstance(value, dict):
        if len(value) > MOST_MEMBERS:
            known = {name for model in PAYLOADS.values() for name in model.model_fields}
            names = [name for name in value if name not in known][:MOST_NAMED]
            raise EventRefused([_unknown_field(f"{place}/{_step(name)}") for name in names])
        for name, item in value.items():
            if isinstance(item, dict | list):
                _check_members(item, f"{place}/{_step(name)}")
    elif isinstance(value, list):
        for index, item in enumerate(value[:MOST_MEMBERS]):
            if isinstance(item, dict | list):
                _check_members(item, f"{place}/{index}")


def _inside(finding: Finding) -> Finding:
    """A finding on the payload or envelope, as one on the CloudEvent; its words name the place as all doors do."""
    path = ENVELOPE.get(finding.path) or (f"/data{finding.path}" if finding.path else "/data")
    return Finding(finding.rule, path, finding.params)


def _unknown_field(path: str) -> Finding:
    return Finding("schema.field-unknown", path, {"field": path.removeprefix("/data")})


def _step(name: str) -> str:
    text = name.replace("~", "~0").replace("/", "~1")[:LONGEST_ID]
    return text if text.isprintable() else "…"


def _type_of(event: Any) -> str | None:
    said = event.get("type") if isinstance(event, Mapping) else None
    return said.removeprefix(f"{NAMESPACE}.") if isinstance(said, str) else None


LONGEST_ID = 64
