"""A source beside a real ledger: it says events, states them in manifests, and answers what the centre asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection

from bus_events import NOON, Lane, event_id, manifest
from portalbus.schemas.codec import Decoded
from portalbus.schemas.digest import EMPTY, event_digest, joined
from portalbus.schemas.models import Bucket, BucketContents, BucketEvent, Payload
from portalbus.schemas.notices import DigestRequested, ResendRequested
from portalbus.streams.judgement.docket import Item
from portalbus.streams.ledger.ledger import Ledger


@dataclass
class StatingSource:
    """The source `www` of one agency. It forgets what is in `forgotten`, and events before `kept_from`."""

    ledger: Ledger
    look: Connection[Any]
    agency: str = "H26"
    lane: Lane = field(init=False)
    said: list[Item] = field(default_factory=list)
    forgotten: set[str] = field(default_factory=set)
    kept_from: int = 1
    most: int = 1_000
    heard: int = 0
    sent_again: int = 0

    def __post_init__(self) -> None:
        self.lane = Lane(self.agency)

    def say(self, *payloads: Payload, **values: Any) -> list[str]:
        """Publishes, and has it judged; the event ids."""
        items = [self.lane.say(payload, **values) for payload in payloads]
        self.said += items
        self.ledger.take_in(items)
        return [self._event(item).event.envelope.id for item in items]

    def state(self) -> None:
        """Sends a manifest that covers everything said."""
        buckets: dict[str, tuple[int, bytes]] = {}
        for content in map(self._event, self.said):
            if content.event.envelope.id in self.forgotten:
                continue
            digest = event_digest(UUID(content.event.envelope.id).bytes, content.content_hash)
            count, before = buckets.get(content.event.payload.event_type, (0, EMPTY))
            buckets[content.event.payload.event_type] = (count + 1, joined(before, digest))
        self._speak(
            manifest(
                self.agency,
                first_sequence=self.kept_from,
                last_sequence=len(self.said),
                delivered_sequence=len(self.said),
                buckets=tuple(
                    Bucket(day=NOON.date(), event_type=name, count=count, digest=digest.hex())
                    for name, (count, digest) in buckets.items()
                ),
            )
        )

    def answer(self) -> int:
        """Hears what the centre has asked since the last time, and answers; how much that was."""
        rows = self.look.execute(
            "select position, record, value from ledger.notice where position > %s and key = %s order by position",
            (self.heard, f"{self.agency}/www"),
        ).fetchall()
        for position, record, value in rows:
            self.heard = position
            if record == "DigestRequested":
                self._tell_contents(DigestRequested.model_validate(value))
            elif record == "ResendRequested":
                self._send_again(ResendRequested.model_validate(value))
        return len(rows)

    def _tell_contents(self, asked: DigestRequested) -> None:
        first = max(asked.first, self.kept_from)
        events = [event for event in self._events_of(asked.event_type) if event.sequence >= first]
        told = events[: self.most]
        self._speak(
            BucketContents(
                id=event_id(9_000_000 + len(self.lane.items)),
                agency=self.agency,
                portal="www",
                epoch=1,
                day=asked.day,
                event_type=asked.event_type,
                first=first,
                last=told[-1].sequence if len(told) == self.most else len(self.said),
                events=tuple(told),
                sent_at=NOON,
            )
        )

    def _events_of(self, event_type: str) -> Iterator[BucketEvent]:
        for item in self.said:
            content = self._event(item)
            said = content.event.envelope
            if content.event.payload.event_type == event_type and said.id not in self.forgotten:
                yield BucketEvent(id=said.id, sequence=said.sequence, content_hash=content.content_hash.hex())

    def _send_again(self, asked: ResendRequested) -> None:
        for item in self.said:
            said = self._event(item).event.envelope
            if asked.first <= said.sequence <= asked.last and said.sequence >= self.kept_from:
                self.sent_again += 1
                self.ledger.take_in([self.lane.again(item)])

    def _speak(self, content: Any) -> None:
        self.ledger.take_in([self.lane.put(content, value=b"", after=timedelta(milliseconds=1))])

    def _event(self, item: Item) -> Decoded:
        assert isinstance(item.content, Decoded)
        return item.content
