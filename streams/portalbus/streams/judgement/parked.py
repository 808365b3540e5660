"""Parked records: what they say of themselves beside their value, which key they hold, and which place they take.

A record that cannot be read still has a key and headers. They are as good as the lane they came on: its agency wrote
them, and nobody else could. So they may hold up or use up what is this agency's own on this lane, and nothing more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from portalbus.schemas.avro_files import NAMESPACE
from portalbus.schemas.models import PAYLOADS
from portalbus.schemas.spelling import CASE, PORTAL_ID
from portalbus.streams.judgement.gaps import Place
from portalbus.streams.records import LaneRecord

HELD = "key.parked-before"
"""The rule of events that wait behind a parked record of their key."""

MAX_SEQUENCE = 2**63 - 1
EVENT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
DIRECTIVE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}")
NUMBER = re.compile(r"[1-9][0-9]{0,18}")


class Claim(NamedTuple):
    """What a record says of itself in its key and headers; None where it says nothing that could be true."""

    event_id: str | None = None
    event_type: str | None = None
    portal: str | None = None
    sequence: int | None = None
    key: str | None = None


@dataclass(slots=True)
class ParkedRecord:
    """One undecided parked record.

    Later events of its lane and key wait behind it up to `until` (lane time; None when it holds nothing). `place` is
    the place that it takes in its source's order, None when it takes none.
    """

    agency: str
    lane_offset: int
    claim: Claim
    until: datetime | None = None
    place: Place | None = None

    def holds(self, lane_offset: int, now: datetime) -> bool:
        """True when a record of its lane and key has to wait behind it at `now`."""
        return self.until is not None and self.lane_offset < lane_offset and now <= self.until


def claim_of(record: LaneRecord) -> Claim:
    """What can be believed of a record's key and headers: it may speak for its own lane's agency alone."""
    said = {name: text for name, value in record.headers if (text := _text(value)) is not None}
    source = said.get("ce_source", "")
    portal = source.removeprefix(f"/{record.agency}/")
    if portal == source or not PORTAL_ID.fullmatch(portal):
        return Claim(key=_key(record))
    event_id, sequence = said.get("ce_id", ""), said.get("ce_sequence", "")
    event_type = said.get("ce_type", "").removeprefix(f"{NAMESPACE}.")
    return Claim(
        event_id=event_id if EVENT_ID.fullmatch(event_id) else None,
        event_type=event_type if event_type in PAYLOADS else None,
        portal=portal,
        sequence=int(sequence) if NUMBER.fullmatch(sequence) and int(sequence) <= MAX_SEQUENCE else None,
        key=_key(record),
    )


def held_until(parked: Iterable[ParkedRecord], lane_offset: int, now: datetime) -> datetime | None:
    """How long a record at this offset of their lane and key waits behind these; None when it need not wait."""
    return max((item.until for item in parked if item.until and item.holds(lane_offset, now)), default=None)


def _key(record: LaneRecord) -> str | None:
    """The record's key, when it could be one of a directive of this lane's agency or of a case."""
    key = _text(record.key) or ""
    if CASE.fullmatch(key):
        return key
    directive_id = key.removeprefix(f"{record.agency}/")
    return key if directive_id != key and DIRECTIVE_ID.fullmatch(directive_id) else None


def _text(value: bytes | None) -> str | None:
    try:
        return value.decode("ascii") if value else None
    except UnicodeDecodeError:
        return None
