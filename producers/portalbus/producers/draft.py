"""What is said, checked and encoded; only its place in the source is missing."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from portalbus.producers.stored_event import id_bytes
from portalbus.schemas import avro_files
from portalbus.schemas.codec import HEADER_BYTES, MAX_VALUE_BYTES, content_hash, encode_envelope, encode_payload
from portalbus.schemas.directory import directory
from portalbus.schemas.errors import EventRefused
from portalbus.schemas.findings import Finding
from portalbus.schemas.identifiers import new_event_id
from portalbus.schemas.models import PAYLOADS, Envelope, Event, Payload, aggregate_key
from portalbus.schemas.normal_form import normalise
from portalbus.schemas.rules import Facts, findings, shape_findings
from pydantic import ValidationError

TRACEPARENT_LENGTH = 55


@dataclass(frozen=True, slots=True)
class Draft:
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
        place = {"epoch": epoch, "sequence": sequence, "published_at": published_at}
        return encode_envelope({**self.envelope, **place}) + self.payload


class Drafter:
    """Checks and encodes what one source says."""

    def __init__(self, agency: str, portal: str) -> None:
        self._agency = agency
        self._portal = portal
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
        envelope = self._envelope(event_id, occurred_at or now, now, correlation_id, causation_id)
        found = list(findings(Event(envelope, said), Facts(directory(), now)))
        if traceparent is not None and not _is_header(traceparent):
            found.append(Finding("schema.format", "/traceparent", {"field": "/traceparent", "detail": "not W3C trace context"}))
        if found:
            raise EventRefused(found)
        encoded = encode_payload(said)
        fields = {**envelope.__dict__, "occurred_at": _milliseconds(envelope.occurred_at)}
        if len(encoded) + HEADER_BYTES + ENVELOPE_BYTES > MAX_VALUE_BYTES:
            raise EventRefused([Finding("schema.event-too-large")])
        return Draft(
            event_id=envelope.id,
            id_bytes=id_bytes(envelope.id),
            repeatable=event_id is not None,
            event_type=said.event_type,
            schema_version=self._versions[said.event_type],
            key=aggregate_key(self._agency, said),
            occurred_at=fields["occurred_at"],
            traceparent=traceparent,
            content_hash=bytes.fromhex(content_hash(encoded)),
            envelope=fields,
            payload=encoded,
        )

    def _envelope(
        self, event_id: str | None, occurred_at: datetime, now: datetime, correlation_id: str | None, causation_id: str | None
    ) -> Envelope:
        fields: dict[str, Any] = {
            "id": event_id or new_event_id(),
            "agency": self._agency,
            "portal": self._portal,
            "epoch": 1,
            "sequence": 1,
            "occurred_at": occurred_at,
            "published_at": now,
            "correlation_id": correlation_id,
            "causation_id": causation_id,
        }
        if event_id is None and occurred_at is now and correlation_id is None and causation_id is None:
            return Envelope.model_construct(**fields)  # nothing in it comes from the caller
        if correlation_id is not None:
            fields["correlation_id"] = unicodedata.normalize("NFC", correlation_id)
        try:
            return Envelope.model_validate(fields)
        except ValidationError as error:
            raise EventRefused([_in_envelope(finding) for finding in shape_findings(error)]) from None


ENVELOPE_BYTES = 1_024
"""Room for any envelope; its longest field, the correlation id, takes at most 512 bytes."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def payload_from_json(event_type: str, data: Mapping[str, Any]) -> Payload:
    """A payload from JSON data. Raises EventRefused when the type is unknown or the data break its contract."""
    model = PAYLOADS.get(event_type)
    if model is None:
        known = ", ".join(PAYLOADS)
        raise EventRefused(
            [Finding("schema.value-not-allowed", "/type", {"field": "/type", "detail": f"Use one of {known}"})]
        )
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


def _in_envelope(finding: Finding) -> Finding:
    path = "/envelope" + finding.path
    return Finding(finding.rule, path, {**finding.params, "field": path})


def _is_header(text: str) -> bool:
    return len(text) == TRACEPARENT_LENGTH and text.isascii() and text.replace("-", "").isalnum()


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND
