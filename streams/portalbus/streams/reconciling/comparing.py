"""An event and the row that came from it: does the row say what the event said? Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from typing import Any, NamedTuple

from pydantic import ValidationError

from portalbus.schemas.avro_files import history
from portalbus.schemas.codec import encode_payload
from portalbus.schemas.models import (
    BucketEvent,
    DirectivePublished,
    FeedbackProgressed,
    FeedbackReceived,
    FeedbackResolved,
    Payload,
)
from portalbus.streams.reconciling.difference import Difference, Kind, Place


class KnownEvent(NamedTuple):
    """An event as the ledger lists it; `received_at` is lane time."""

    agency: str
    portal: str
    epoch: int
    event_type: str
    day: date
    sequence: int
    event_id: str
    content_hash: bytes
    key: str | None
    lane_offset: int
    received_at: datetime
    position: int


class Row(NamedTuple):
    """What a public row says: its payload's fields, and what else stands in it beside what it should be."""

    place: Place
    payload: Callable[[], Payload]
    beside: Mapping[str, tuple[object, object]]


def difference_of(event: KnownEvent, place: Place, row: Row | None) -> tuple[Difference | None, bytes | None]:
    """What differs between an accepted event and its row, and the hash of what the row says."""
    if row is None:
        return _difference(event, Kind.MISSING, place, ()), None
    shown = shown_hash(row.payload, event.content_hash)
    columns = [name for name, (found, right) in row.beside.items() if found != right]
    if shown != event.content_hash:
        columns.append("content")
    if not columns:
        return None, shown
    return _difference(event, Kind.ALTERED, place, columns), shown


def shown_hash(payload: Callable[[], Payload], content_hash: bytes) -> bytes:
    """The content hash of what a row says; all zeros when that cannot be an event.

    A source may have written with an older version of the schema: what matches by any of them is unaltered.
    """
    try:
        said = payload()
        shown = hashlib.sha256(encode_payload(said)).digest()
        if shown == content_hash:
            return shown
        for file in history(said.event_type)[:-1]:
            if hashlib.sha256(encode_payload(said, file.version)).digest() == content_hash:
                return content_hash
    except (ValidationError, ValueError, TypeError, OverflowError):
        return bytes(32)
    return shown


def directive_row(event: KnownEvent, columns: Mapping[str, Any]) -> Row:
    """A row of `ledger.directive_version`; `document` is its text."""
    document = columns["document"]
    beside: dict[str, tuple[object, object]] = {
        "lane_offset": (columns["lane_offset"], event.lane_offset),
        "received_at": (columns["received_at"], event.received_at),
        "position": (columns["position"], event.position),
        "version": (columns["version"], columns["said_version"]),
        "action": (columns["action"], columns["said_action"]),
    }
    return Row(Place.VERSION, lambda: DirectivePublished.model_validate_json(document), beside)


TEXTS = {"subject": "", "content": "", "pseudonym": None}
"""What of a receipt is taken out of the row of a case that turned out to be a complaint or a denunciation."""


def receipt_row(event: KnownEvent, columns: Mapping[str, Any], told: Payload | None = None) -> Row:
    """The half of a row of `ledger.case` that its receipt wrote. A case that took steps has moved on.

    `told` is what the receipt said, of a case whose texts were taken out of its row.
    """
    beside: dict[str, tuple[object, object]] = {"receiver": (columns["receiver"], event.agency)}
    if columns["state"] == "RECEIVED" and not columns["steps"]:
        beside["position"] = (columns["position"], event.position)
    if not columns["steps"]:
        beside["owner"] = (columns["owner"], columns["addressed_to"] or columns["owner"])
    said = {name: columns[name] for name in FeedbackReceived.model_fields if name != "addressed_to"}
    said["addressed_to"] = columns["addressed_to"] or columns["owner"]
    if columns["stage"] == "DIVERTED":
        beside |= {name: (columns[name], right) for name, right in TEXTS.items()}
        said |= {name: getattr(told, name, right) for name, right in TEXTS.items()}
    return Row(Place.CASE, lambda: FeedbackReceived(**said), beside)


def answer_row(event: KnownEvent, columns: Mapping[str, Any]) -> Row:
    """The half of a row of `ledger.case` that its resolution wrote."""
    beside: dict[str, tuple[object, object]] = {
        "answered_by": (columns["answered_by"], event.agency),
        "answer_heard_at": (columns["answer_heard_at"], event.received_at if columns["answer_public"] else None),
    }
    if not columns["steps"]:
        beside["position"] = (columns["position"], event.position)
    renamed = {"language": "answer_language", "public": "answer_public"}
    said = {name: columns[renamed.get(name, name)] for name in FeedbackResolved.model_fields}
    return Row(Place.ANSWER, lambda: FeedbackResolved(**said), beside)


def step_row(event: KnownEvent, columns: Mapping[str, Any]) -> Row:
    """A row of `ledger.case_step`; `document` is all that was said but whose case it is."""
    beside: dict[str, tuple[object, object]] = {
        "agency": (columns["row_agency"], event.agency),
        "lane_offset": (columns["row_offset"], event.lane_offset),
        "received_at": (columns["row_received"], event.received_at),
        "position": (columns["row_position"], event.position),
        "step": (columns["step"], columns["said_step"]),
    }
    said = {**columns["document"], "case_id": columns["case_id"]}
    return Row(Place.STEP, lambda: FeedbackProgressed.model_validate_json(json.dumps(said)), beside)


class Compared(NamedTuple):
    """Where a source's list of a bucket and the centre's differ: events not there, others, and such it never sent."""

    missing: list[BucketEvent]
    altered: list[BucketEvent]
    unknown: list[str]


def compare_contents(listed: Iterable[BucketEvent], known: Mapping[str, bytes]) -> Compared:
    """Compares what a source says lies in a bucket with the centre's content hashes by event id, of the same range.

    An event that is not delivered yet may be there already, and need not be.
    """
    missing, altered, left = [], [], set(known)
    for event in listed:
        left.discard(event.id)
        found = known.get(event.id)
        if found is None:
            if event.delivered:
                missing.append(event)
        elif found.hex() != event.content_hash:
            altered.append(event)
    return Compared(missing, altered, sorted(left))


def _difference(event: KnownEvent, kind: Kind, place: Place, columns: Iterable[str]) -> Difference:
    return Difference(
        kind,
        place,
        event.agency,
        event.portal,
        event.epoch,
        event.sequence,
        event.event_id,
        event.content_hash,
        event.key,
        columns=tuple(columns),
    )
