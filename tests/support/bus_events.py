"""Events as portals send them, for tests of what the centre does with them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from portalbus.producers.testing import a_step
from portalbus.schemas import avro_files
from portalbus.schemas.avro_files import LANE_TYPES
from portalbus.schemas.codec import (
    Decoded,
    WriterSchemas,
    encode_envelope,
    encode_event,
    encode_payload,
    encode_record,
    frame,
)
from portalbus.schemas.identifiers import CROCKFORD, PUBLIC_CODE_LENGTH
from portalbus.schemas.models import (
    BodyFormat,
    BucketContents,
    CaseStep,
    Channel,
    DirectiveAction,
    DirectivePublished,
    Envelope,
    Event,
    FeedbackProgressed,
    FeedbackReceived,
    FeedbackResolved,
    Outcome,
    Payload,
    SourceManifest,
    SourceStatement,
)
from portalbus.streams.judgement.docket import Content, Item
from portalbus.streams.records import LaneRecord

NOON = datetime(2026, 11, 20, 5, 0, tzinfo=UTC)
"""Lane time zero of the tests: noon in Viet Nam."""

SCHEMA_IDS = {name: number for number, name in enumerate(LANE_TYPES, start=1)}
"""Schema ids of an imaginary registry, for values that never see a real one."""


@lru_cache(maxsize=1)
def writers() -> WriterSchemas:
    """What may be on a lane, under `SCHEMA_IDS`."""
    return WriterSchemas({SCHEMA_IDS[name]: (name, avro_files.current(name).raw) for name in LANE_TYPES})


def event_id(number: int) -> str:
    """The event id with this number."""
    return str(UUID(int=number + 1))


def public_code(number: int) -> str:
    """The public code with this number."""
    drawn = hashlib.sha256(f"code {number}".encode()).digest()
    return "".join(CROCKFORD[byte % len(CROCKFORD)] for byte in drawn[:PUBLIC_CODE_LENGTH])


def envelope(number: int, agency: str, sequence: int, **values: Any) -> Envelope:
    """The envelope of event `number`; `values` override its fields."""
    given: dict[str, Any] = {
        "id": event_id(number),
        "agency": agency,
        "portal": "www",
        "epoch": 1,
        "sequence": sequence,
        "occurred_at": NOON,
        "published_at": NOON,
    }
    return Envelope(**(given | values))


def directive(name: str = "d-1", version: int = 1, **values: Any) -> DirectivePublished:
    """A version of a directive."""
    given: dict[str, Any] = {
        "action": DirectiveAction.PUBLISH if version == 1 else DirectiveAction.REVISE,
        "directive_id": name,
        "version": version,
        "number": "15/CT-TTg",
        "document_type": "CT",
        "title": "Về việc kết nối các cổng thông tin điện tử",
        "body": f"Các bộ, ngành, địa phương thực hiện (lần {version}).",
        "body_format": BodyFormat.TEXT,
        "language": "vi",
        "issued_on": date(2026, 11, 19),
        "canonical_url": "https://chinhphu.example.gov.vn/15",
    }
    return DirectivePublished(**(given | values))


def withdrawal(name: str = "d-1", version: int = 2, **values: Any) -> DirectivePublished:
    """A version that takes a directive back."""
    return directive(
        name, version, **({"action": DirectiveAction.WITHDRAW, "withdrawal_reason": "Ban hành nhầm."} | values)
    )


def receipt(case: str = "H26-0001", code: int = 1, **values: Any) -> FeedbackReceived:
    """The receipt of a case."""
    given: dict[str, Any] = {
        "case_id": case,
        "public_code": public_code(code),
        "regime": "R2",
        "category": 1,
        "channel": Channel.WEB,
        "received_at": NOON,
        "addressed_to": case.split("-", 1)[0],
        "subject": "Đèn đường hỏng",
        "content": "Đèn đường trên phố hỏng đã ba tuần.",
        "language": "vi",
    }
    return FeedbackReceived(**(given | values))


def answer(case: str = "H26-0001", **values: Any) -> FeedbackResolved:
    """The answer to a case."""
    given: dict[str, Any] = {
        "case_id": case,
        "outcome": Outcome.ANSWERED,
        "answer": "Đã sửa.",
        "language": "vi",
        "answered_at": NOON,
    }
    return FeedbackResolved(**(given | values))


def progress(step: CaseStep, case: str = "H26-0001", **values: Any) -> FeedbackProgressed:
    """A step of a case, with what this step needs."""
    return a_step(case, step, **({"at": NOON} | values))


def manifest(agency: str, number: int = 0, **values: Any) -> SourceManifest:
    """The heartbeat of a source."""
    given: dict[str, Any] = {
        "id": event_id(number),
        "agency": agency,
        "portal": "www",
        "epoch": 1,
        "first_sequence": 1,
        "last_sequence": 9,
        "delivered_sequence": 9,
        "sent_at": NOON,
        "sdk": "portalbus-python/0.1.0",
    }
    return SourceManifest(**(given | values))


def contents(agency: str, number: int = 0, **values: Any) -> BucketContents:
    """What a source says lies in one of its buckets: nothing, unless `values` say more."""
    given: dict[str, Any] = {
        "id": event_id(number),
        "agency": agency,
        "portal": "www",
        "epoch": 1,
        "day": NOON.date(),
        "event_type": "DirectivePublished",
        "first": 1,
        "last": 9,
        "sent_at": NOON,
    }
    return BucketContents(**(given | values))


def value_of(event: Event, schema_ids: Mapping[str, int] = SCHEMA_IDS) -> bytes:
    """The value of an event on its lane."""
    return encode_event(event, schema_ids[event.payload.event_type])


def manifest_value(heartbeat: SourceManifest, schema_ids: Mapping[str, int] = SCHEMA_IDS) -> bytes:
    """The value of a manifest on its lane."""
    return statement_value(heartbeat, schema_ids)


def statement_value(statement: SourceStatement, schema_ids: Mapping[str, int] = SCHEMA_IDS) -> bytes:
    """The value of what a source states of itself on its lane."""
    return encode_record(statement, statement.event_name, schema_ids[statement.event_name])


def misshapen_value(
    head: Envelope, payload: Payload, schema_ids: Mapping[str, int] = SCHEMA_IDS, **values: Any
) -> bytes:
    """A value with fields that Avro can write and the contract does not allow."""
    broken = payload.model_copy(update=values)
    return frame(schema_ids[payload.event_type], encode_envelope(head) + encode_payload(broken))


def content_of(event: Event) -> Decoded:
    """What reading an event's value gives, without the detour over its bytes."""
    return Decoded(event, hashlib.sha256(encode_payload(event.payload)).digest())


class Lane:
    """One lane of a test: gives records their offsets and lane times, a millisecond apart."""

    def __init__(self, agency: str) -> None:
        self.agency = agency
        self.items: list[Item] = []
        self.now = NOON
        self._numbers = 0
        self._sequences: dict[tuple[str, int], int] = {}

    def say(
        self,
        payload: Payload,
        *,
        lane_key: bytes | None = None,
        after: timedelta = timedelta(milliseconds=1),
        **values: Any,
    ) -> Item:
        """The next event of a source on this lane; `values` override fields of its envelope."""
        return self.put(content_of(Event(self.next_envelope(**values), payload)), lane_key=lane_key, after=after)

    def next_envelope(self, **values: Any) -> Envelope:
        """The envelope that comes next: a new id, and the sequence after the last one of its source."""
        self._numbers += 1
        source = (values.get("portal", "www"), values.get("epoch", 1))
        sequence = values.setdefault("sequence", self._sequences.get(source, 0) + 1)
        self._sequences[source] = max(sequence, self._sequences.get(source, 0))
        number = int.from_bytes(self.agency.encode()) * 1_000_000 + self._numbers
        return envelope(number, values.pop("agency", self.agency), **values)

    def put(
        self,
        content: Content,
        *,
        lane_key: bytes | None = None,
        after: timedelta = timedelta(milliseconds=1),
        value: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> Item:
        """The next record of this lane, whatever is in it."""
        self.now += after
        if isinstance(content, Decoded):
            value = value_of(content.event) if value is None else value
            lane_key = content.event.key.encode() if lane_key is None else lane_key
        record = LaneRecord(
            f"lane.{self.agency}",
            self.agency,
            len(self.items),
            round(self.now.timestamp() * 1000),
            lane_key,
            value,
            tuple(headers),
        )
        self.items.append(Item(record, content))
        return self.items[-1]

    def again(self, item: Item) -> Item:
        """The same record once more, as a producer that lost an acknowledgement sends it."""
        return self.put(item.content, lane_key=item.record.key, value=item.record.value)


def at_offset(item: Item, offset: int) -> Item:
    """An item elsewhere in its lane."""
    return Item(item.record._replace(offset=offset), item.content)


def with_id_of(item: Item, other: Item) -> Decoded:
    """The event of `item` under the id of `other`."""
    assert isinstance(item.content, Decoded)
    assert isinstance(other.content, Decoded)
    head = item.content.event.envelope.model_copy(update={"id": other.content.event.envelope.id})
    return replace(item.content, event=Event(head, item.content.event.payload))


def as_json(record: Any) -> Any:
    """A model as plain JSON values, to compare with what a store holds."""
    return json.loads(record.model_dump_json())
