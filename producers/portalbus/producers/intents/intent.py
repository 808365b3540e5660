"""An event that is meant: checked when it is said, kept as a CloudEvent, checked again when it is moved."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from portalbus.producers.cloudevents import check_source, from_cloudevent
from portalbus.producers.draft import Draft, Drafter
from portalbus.producers.settings import Settings
from portalbus.schemas.avro_files import NAMESPACE
from portalbus.schemas.errors import EventRefused
from portalbus.schemas.findings import Finding
from portalbus.schemas.models import Payload


@dataclass(frozen=True, slots=True)
class Intent:
    """What `publish()` hands back: an event with this id leaves once the transaction has committed, never otherwise."""

    event_id: str
    key: str


class IntentRow(NamedTuple):
    """The columns of a new row; `body` is a CloudEvent (JSON, UTF-8), `created_at` milliseconds since 1970 UTC."""

    source: str
    event_id: str
    event_type: str
    event_key: str
    body: bytes
    created_at: int

    @property
    def intent(self) -> Intent:
        """What the caller is told of it."""
        return Intent(self.event_id, self.event_key)

    def means_the_same(self, event_type: str, body: bytes) -> bool:
        """True when a row that is stored already under this id says the same; its time may differ."""
        try:
            data = json.loads(body)["data"]
        except (ValueError, KeyError, TypeError):
            return False
        return (event_type, data) == (self.event_type, json.loads(self.body)["data"])


class IntentWriter:
    """Makes rows of what one source means to say, by the rules of the SDK. Raises ValueError for an unfit source."""

    def __init__(self, agency: str, portal: str = "www") -> None:
        settings = Settings(agency, portal, "", "", Path(), deliver=False)
        self.agency, self.portal, self.source = agency, portal, settings.source
        self._drafter = Drafter(agency, portal)

    def row(
        self,
        payload: Payload,
        *,
        event_id: str | None = None,
        occurred_at: datetime | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        traceparent: str | None = None,
    ) -> IntentRow:
        """The row of a payload. Raises EventRefused with every finding of the stateless rules."""
        draft = self._drafter.draft(
            payload,
            event_id=event_id,
            occurred_at=occurred_at,
            correlation_id=correlation_id,
            causation_id=causation_id,
            traceparent=traceparent,
        )
        said = {
            "specversion": "1.0",
            "id": draft.event_id,
            "source": f"/{self.source}",
            "type": f"{NAMESPACE}.{draft.event_type}",
            "time": datetime.fromtimestamp(draft.occurred_at / 1000, UTC).isoformat(),
            "datacontenttype": "application/json",
            **_given(correlationid=correlation_id, causationid=causation_id, traceparent=traceparent),
            # Validated again, since the draft's own copy is encoded: an unchecked copy may hold texts for enums.
            "data": type(payload).model_validate(payload.__dict__).model_dump(mode="json"),
        }
        body = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
        return IntentRow(self.source, draft.event_id, draft.event_type, draft.key, body, _now())

    def draft(self, event_id: str, event_key: str, body: bytes) -> Draft:
        """The draft of a stored row. Raises EventRefused when it cannot be read, was altered, or breaks a rule now."""
        payload, about = from_cloudevent(event := _cloudevent(body))
        check_source(event, self.agency)
        draft = self._drafter.draft(payload, **about)
        for path, found, wanted in (("/id", draft.event_id, event_id), ("/data", draft.key, event_key)):
            if found != wanted:
                raise EventRefused([Finding("schema.value-not-allowed", path, {"field": path, "bound": wanted})])
        return draft


def id_reused() -> EventRefused:
    """The refusal of an id that was given to something else before."""
    return EventRefused([Finding("event.id-reused", "/envelope/id")])


def _cloudevent(body: bytes) -> Mapping[str, Any]:
    try:
        event = json.loads(bytes(body))
    except (ValueError, RecursionError):  # no UTF-8, or no JSON
        event = None
    if not isinstance(event, dict):
        raise EventRefused([Finding("schema.value", "", {"field": "/", "bound": "JSON object"})])
    return event


def _given(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}


def _now() -> int:
    return time.time_ns() // 1_000_000
