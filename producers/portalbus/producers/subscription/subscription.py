"""`Subscription`: the accepted events of the whole country, typed, in ledger order, from where a portal left off."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from confluent_kafka import Message

from portalbus.producers.subscription.canonical_reader import READ_MOST, CanonicalReader, headers_of, name_of
from portalbus.producers.subscription.place import Place, PlaceFile, PlaceKeeper
from portalbus.schemas import avro_files
from portalbus.schemas.codec import Decoded, WriterSchemas, read, unframe
from portalbus.schemas.errors import UndecodableRecord
from portalbus.schemas.headers import shown_from_of
from portalbus.schemas.kafka_settings import kafka_from_env, librdkafka_settings
from portalbus.schemas.models import PAYLOADS, Envelope, Payload
from portalbus.schemas.registry import SchemaRegistry
from portalbus.schemas.topics import CANONICAL


@dataclass(frozen=True, slots=True)
class Accepted:
    """One event that the centre has accepted. `position` is its place in the ledger's order, and grows.

    `shown_from` is set where the event is a public answer that was accepted with a review: do not show before that
    moment what it says, or whether it refuses. Until then the centre may return it (a FeedbackProgressed with the step
    ANSWER_RETURNED: then it is never shown), or publish it (PUBLISHED, said by G22: then it may be shown at once).
    None: it may be shown.
    """

    envelope: Envelope
    payload: Payload
    key: str
    position: int
    shown_from: datetime | None = None


class Batch(list[Accepted]):
    """Accepted events in ledger order. Call `done()` when what they lead to is durable."""

    def __init__(self, events: Iterable[Accepted], places: Mapping[str, Place], keeper: PlaceKeeper) -> None:
        super().__init__(events)
        self.places = places
        """What to keep in the portal's own transaction, where that is the place's keeper."""
        self._keeper = keeper
        self.is_done = False

    def done(self) -> None:
        """Keeps the place behind this batch: it does not come again, nor do those before it."""
        self._keeper.write(self.places)
        self.is_done = True


class Subscription:
    """Reads what the centre has accepted: each event once, in ledger order, over restarts.

    `place` is a file on a local disk, or a `PlaceKeeper` of the portal's own. `types` are payload types (all of them
    unless given), `agencies` codes of the agencies that said it. A subscription starts with the first event ever, and
    may do so again (`rebuild`). A process that is killed between an effect and `done()` meets the events of that batch
    again; keep the place in the transaction of the effect, and it does not.

    Raises KafkaException and RegistryUnavailable from reading while the bus is away: iterating again goes on from the
    place.
    """

    def __init__(
        self,
        place: Path | str | PlaceKeeper,
        *,
        bootstrap: str,
        registry_url: str,
        types: Collection[type[Payload]] = (),
        agencies: Collection[str] = (),
        kafka: Mapping[str, str] | None = None,
    ) -> None:
        names = [model.__name__ for model in types] or list(CANONICAL)
        if unknown := [name for name in names if name not in CANONICAL]:
            raise ValueError(f"{', '.join(unknown)} is nothing to subscribe to; there are {', '.join(CANONICAL)}")
        self._topics = [CANONICAL[name] for name in names]
        self._sources = tuple(f"/{agency}/".encode() for agency in agencies)
        self._keeper: PlaceKeeper = PlaceFile(place) if isinstance(place, Path | str) else place
        self._kafka = librdkafka_settings(bootstrap, kafka or {})
        self._registry = SchemaRegistry(registry_url)
        self._writers: dict[int, WriterSchemas] = {}
        self._places: dict[str, Place] = {}
        self._reader: CanonicalReader | None = None
        self._last: Batch | None = None

    @classmethod
    def from_env(cls, place: Path | str | PlaceKeeper, **options: Any) -> Self:
        """A subscription of the bus that PORTALBUS_BOOTSTRAP, _REGISTRY and _KAFKA_… name. Raises KeyError."""
        bus = {"bootstrap": os.environ["PORTALBUS_BOOTSTRAP"], "registry_url": os.environ["PORTALBUS_REGISTRY"]}
        return cls(place, **{**bus, "kafka": kafka_from_env(), **options})

    def batches(self, *, most: int = READ_MOST, wait: float | None = None) -> Iterator[Batch]:
        """Batches of at most `most` events, as they come. Ends when nothing came for `wait` seconds (None: never).

        Begins behind the last batch that was done: one that was left in the middle comes again.
        """
        if self._undone:
            self.close()
        heard_at = time.monotonic()
        while wait is None or time.monotonic() - heard_at < wait:
            if batch := self._next_batch(most):
                yield batch
                heard_at = time.monotonic()

    def events(self, *, wait: float | None = None) -> Iterator[Accepted]:
        """Event by event: one is done when the next is asked for, a batch of them is remembered together."""
        for batch in self.batches(wait=wait):
            yield from batch
            batch.done()

    def __iter__(self) -> Iterator[Accepted]:
        return self.events()

    def rebuild(self) -> None:
        """Forgets the place: the next event is the first one ever. Clear what was made of them before."""
        self.close()
        self._keeper.open()
        self._keeper.write({})
        self._keeper.close()

    def behind(self) -> int:
        """How many records the subscription has not given out yet, those of other agencies included."""
        return self._open().behind()

    def close(self) -> None:
        """Lets go of everything; iterating opens it again."""
        reader, self._reader, self._last = self._reader, None, None
        if reader is not None:
            reader.close()
        self._keeper.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> CanonicalReader:
        if self._reader is None:
            self._keeper.open()
            try:
                self._places = dict(self._keeper.read())
                self._reader = CanonicalReader(self._kafka, self._topics, self._places, self._sources)
            except BaseException:
                self._keeper.close()
                raise
        return self._reader

    def _next_batch(self, most: int) -> Batch | None:
        events: list[Accepted] = []
        moved = False
        try:
            for part, record in self._open().next(most):
                before = self._places.get(name_of(part), Place(0, 0))
                if record.position > before.position and record.message is not None:
                    events.append(self._accepted(record.message, record.position))
                self._places[name_of(part)] = Place(record.next_offset, max(record.position, before.position))
                moved = True
        except BaseException:
            self.close()  # what was in hand is read again
            raise
        if events:
            self._last = Batch(events, dict(self._places), self._keeper)
            return self._last
        if moved and not self._undone:
            self._keeper.write(dict(self._places))
        return None

    @property
    def _undone(self) -> bool:
        return self._last is not None and not self._last.is_done

    def _accepted(self, message: Message, position: int) -> Accepted:
        """The event of a record. Raises UndecodableRecord for one that this SDK is too old to read."""
        value = message.value()
        raw = value if isinstance(value, bytes) else None
        schema_id, _ = unframe(raw)
        if schema_id not in self._writers:
            self._writers[schema_id] = self._learn(schema_id)
        content = read(raw, self._writers[schema_id])
        if not isinstance(content, Decoded):
            place = f"{message.topic()}/{message.partition()} at {message.offset()}"
            raise UndecodableRecord("record.shape", f"{place} is not what this SDK knows: a newer one reads it")
        event, shown_from = content.event, shown_from_of(headers_of(message))
        return Accepted(event.envelope, event.payload, event.key, position, shown_from)

    def _learn(self, schema_id: int) -> WriterSchemas:
        raw = self._registry.schema(schema_id)
        name = str(raw.get("name")) if isinstance(raw, dict) and raw.get("namespace") == avro_files.NAMESPACE else "?"
        if name not in PAYLOADS:
            raise UndecodableRecord("record.schema-not-allowed", f"schema id {schema_id} is no event of ours")
        return WriterSchemas({schema_id: (name, raw)})
