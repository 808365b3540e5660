"""What is said, checked and encoded; only its place in the source is missing."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple

from pydantic import ValidationError

from portalbus.producers.stored_event import id_bytes
from portalbus.schemas import avro_files
from portalbus.schemas.codec import HEADER_BYTES, MAX_VALUE_BYTES, encode_envelope, encode_payload
from portalbus.schemas.directory import directory
from portalbus.schemas.errors import EventRefused
from portalbus.schemas.facts import MAX_AHEAD
from portalbus.schemas.findings import Finding
from portalbus.schemas.identifiers import new_event_id
from portalbus.schemas.models import PAYLOADS, Envelope, Event, Payload, aggregate_key
from portalbus.schemas.normal_form import normalise
from portalbus.schemas.rules import Facts, findings, shape_findings

TRACEPARENT_LENGTH = 55


class Draft(NamedTuple):
    """A checked event without its sequence; `repeatable` when the caller chose the id and may come again with it."""

    event_id: str
    id_bytes: bytes
    repeatable: bool
    event_type: str
    schema_version: int
    key: str
    occurred_at: int
    traceparent: str | None
    content_hash: bytes
    envelope: Mapping[str, Any]
    payload: bytes

    def body(self, epoch: int, sequence: int, published_at: int) -> bytes:
        """The Avro body, once the place is known; the time in milliseconds since 1970 UTC."""
        fields = {**self.envelope, "epoch": epoch, "sequence": sequence, "published_at": published_at}
        return encode_envelope(fields) + self.payload


class Drafter:
    """Checks and encodes what one source says; no moment in it may lie further ahead of now than `ahead`."""

    def __init__(self, agency: str, portal: str, *, ahead: timedelta = MAX_AHEAD) -> None:
        self._agency = agency
        self._ahead = ahead
        self._fixed = {"agency": agency, "portal": portal, "epoch": 1, "sequence": 1, "published_at": _ANY_TIME}
        self._envelope = Envelope(id=new_event_id(), occurred_at=_ANY_TIME, **self._fixed)
        self._versions = {name: avro_files.current(name).version for name in PAYLOADS}

    def draft(
        self,
        payload: Payload,
        *,
        event_id: str | None = None,
        occurred_at: datetime | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        traceparent: str | None = None,
    ) -> Draft:
        """The draft of a payload. Raises EventRefused with every finding of the stateless rules."""
        said = normalise(_revalidated(payload))
        now = datetime.now(UTC)
        fields: dict[str, Any] = {
            **self._fixed,
            "id": event_id or new_event_id(),
            "occurred_at": occurred_at or now,
            "correlation_id": correlation_id and unicodedata.normalize("NFC", correlation_id),
            "causation_id": causation_id,
        }
        # Nothing in the envelope comes from the caller as a rule; then it was checked when this object was made.
        about = event_id, occurred_at, correlation_id, causation_id, traceparent
        envelope = self._envelope if about == _NOTHING else _checked(fields, traceparent)
        if found := list(findings(Event(envelope, said), Facts(directory(), now, ahead=self._ahead))):
            raise EventRefused(found)
        encoded = encode_payload(said)
        if len(encoded) + HEADER_BYTES + ENVELOPE_BYTES > MAX_VALUE_BYTES:
            raise EventRefused([Finding("schema.event-too-large")])
        fields["occurred_at"] = (fields["occurred_at"] - _EPOCH) // _MILLISECOND
        return Draft(
            fields["id"],
            id_bytes(fields["id"]),
            event_id is not None,
            said.event_type,
            self._versions[said.event_type],
            aggregate_key(self._agency, said),
            fields["occurred_at"],
            traceparent,
            sha256(encoded).digest(),
            fields,
            encoded,
        )


_NOTHING = (None,) * 5
_ANY_TIME = datetime(2026, 1, 1, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

ENVELOPE_BYTES = 1_024
"""Room for any envelope; its longest field, the correlation id, takes at most 512 bytes."""


def payload_from_json(event_type: str, data: Mapping[str, Any]) -> Payload:
    """A payload from JSON data. Raises EventRefused when the type is unknown or the data break its contract."""
    model = PAYLOADS.get(event_type)
    if model is None:
        known = ", ".join(PAYLOADS)
        raise EventRefused([Finding("schema.value-not-allowed", "/type", {"field": "/type", "bound": str(known)})])
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise EventRefused(shape_findings(error)) from None


def _revalidated(payload: Payload) -> Payload:
    """The payload, validated again: `model_copy(update=…)` and `model_construct()` do not."""
    model = PAYLOADS.get(type(payload).__name__)
    if model is None or type(payload) is not model:
        raise TypeError(f"publish() takes one of {', '.join(PAYLOADS)}, not {type(payload).__name__}")
    try:
        valid: Payload = model.__pydantic_validator__.validate_python(payload.__dict__)
        return valid
    except ValidationError as error:
        raise EventRefused(shape_findings(error)) from None


def _checked(fields: Mapping[str, Any], traceparent: str | None) -> Envelope:
    """The envelope of what the caller gave. Raises EventRefused."""
    found: list[Finding] = []
    if traceparent is not None and not _is_header(traceparent):
        found.append(_in_envelope("schema.format", "/traceparent", "W3C Trace Context: 00-…-…-01"))
    try:
        envelope = Envelope.model_validate(fields)
    except ValidationError as error:
        found += [_in_envelope(one.rule, one.path, one.params.get("bound", "")) for one in shape_findings(error)]
    if found:
        raise EventRefused(found)
    return envelope


def _in_envelope(rule: str, path: str, bound: str) -> Finding:
    place = f"/envelope{path}"
    return Finding(rule, place, {"field": place, "bound": bound})


def _is_header(text: str) -> bool:
    return len(text) == TRACEPARENT_LENGTH and text.isascii() and text.replace("-", "").isalnum()
