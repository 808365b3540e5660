"""What the bus's rules have against an event that is about to be published: the SDK's own check, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from portalbus.producers.draft import Drafter, payload_from_json
from portalbus.schemas.errors import EventRefused
from portalbus.schemas.findings import Finding
from portalbus.schemas.models import Payload


@dataclass(frozen=True, slots=True)
class Judged:
    """A payload that may be published, or the findings against it."""

    payload: Payload | None
    findings: tuple[Finding, ...] = ()


class Judge:
    """Checks events of one source as the SDK will, without storing anything."""

    def __init__(self, agency: str, portal: str) -> None:
        self._drafter = Drafter(agency, portal)

    def __call__(self, event_type: str, data: Mapping[str, Any], event_id: str, occurred_at: datetime) -> Judged:
        """The payload of JSON data, or why it is refused."""
        try:
            payload = payload_from_json(event_type, data)
            self._drafter.draft(payload, event_id=event_id, occurred_at=occurred_at)
        except EventRefused as refusal:
            return Judged(None, refusal.findings)
        return Judged(payload)
