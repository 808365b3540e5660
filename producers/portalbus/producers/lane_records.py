"""Outbox rows and manifests as Kafka records: header bytes, key, CloudEvents headers."""

from __future__ import annotations

import struct
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from portalbus.producers.answers import Queued
from portalbus.producers.backlog import DAY, Backlog
from portalbus.producers.bucket_contents import read_contents
from portalbus.producers.settings import Settings
from portalbus.producers.source_row import known_source
from portalbus.producers.stored_event import StoredEvent, id_text
from portalbus.schemas.avro_files import NAMESPACE
from portalbus.schemas.codec import MAGIC, encode_record
from portalbus.schemas.headers import CONTENT_TYPE
from portalbus.schemas.identifiers import new_event_id
from portalbus.schemas.models import Bucket, SourceManifest, SourceStatement
from portalbus.schemas.notices import DigestRequested
from portalbus.schemas.registration import SchemaIds
from portalbus.schemas.tracing import is_traced, traceparent

RECENT_DAYS = 2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LaneRecord(NamedTuple):
    """What is handed to Kafka."""

    key: bytes
    value: bytes
    headers: list[tuple[str, str | bytes | None]]


class LaneRecords:
    """Makes records of one source. Raises RegistryUnavailable or RegistryRefused while a schema's id is unknown."""

    def __init__(self, settings: Settings, ids: SchemaIds) -> None:
        self._settings = settings
        self._ids = ids
        self._known: dict[tuple[str, int | None], bytes] = {}
        self._source = ("ce_source", f"/{settings.source}".encode())
        self._is_traced = is_traced()

    def of(self, event: StoredEvent) -> LaneRecord:
        """The record of a stored event."""
        headers: list[tuple[str, str | bytes | None]] = [
            ("ce_specversion", b"1.0"),
            ("ce_id", id_text(event.event_id).encode()),
            self._source,
            ("ce_type", f"{NAMESPACE}.{event.event_type}".encode()),
            ("ce_time", _time_text(event.occurred_at)),
            ("ce_sequence", b"%d" % event.sequence),
            ("content-type", CONTENT_TYPE),
        ]
        if event.traceparent:
            headers.append(("traceparent", event.traceparent.encode()))
        elif self._is_traced:
            headers.append(("traceparent", traceparent(id_text(event.event_id)).encode()))
        value = self._prefix(event.event_type, event.schema_version) + event.body
        return LaneRecord(event.key.encode(), value, headers)

    def manifest(self, backlog: Backlog, *, days: int | None = RECENT_DAYS, last: bool = False) -> LaneRecord:
        """The source's manifest: how far it got, and the digests of the last `days` (of all that is kept, for None).

        It promises the next manifest and canary, unless it is the `last` one before the source ends.
        """
        settings = self._settings
        promised = {"interval_s": 0 if last else settings.heartbeat_s, "canary_s": 0 if last else settings.canary_s}
        return self.plain(read_manifest(backlog, days=days).model_copy(update=promised))

    def plain(self, record: SourceStatement) -> LaneRecord:
        """The record of what the source says of itself."""
        name = type(record).__name__
        schema_id = int.from_bytes(self._prefix(name, None)[1:], "big")
        headers: list[tuple[str, str | bytes | None]] = [
            ("ce_specversion", b"1.0"),
            ("ce_id", record.id.encode()),
            self._source,
            ("ce_type", f"{NAMESPACE}.{name}".encode()),
            ("ce_time", record.sent_at.isoformat(timespec="milliseconds").encode()),
            ("content-type", CONTENT_TYPE),
        ]
        return LaneRecord(self._settings.source.encode(), encode_record(record, name, schema_id), headers)

    def answer(self, backlog: Backlog, queued: Queued | None) -> LaneRecord:
        """The record of an answer; what is to be looked up is looked up now."""
        if isinstance(queued, DigestRequested):
            queued = read_contents(backlog, queued)
        return self.manifest(backlog) if queued is None else self.plain(queued)

    def _prefix(self, name: str, schema_version: int | None) -> bytes:
        place = (name, schema_version)
        if place not in self._known:
            self._known[place] = MAGIC + struct.pack(">I", self._ids.id_of(name, schema_version))
        return self._known[place]


def read_manifest(backlog: Backlog, *, days: int | None) -> SourceManifest:
    """What the source has published and delivered so far."""
    now = datetime.now(UTC)
    since = 0 if days is None else int(now.timestamp() * 1000) // DAY - days + 1
    with backlog.database.reading() as connection:
        row = known_source(connection)
        (first,) = connection.execute("select min(sequence) from event").fetchone()
        buckets = connection.execute(
            "select day, event_type, count, digest from bucket where day >= ? order by day, event_type", (since,)
        ).fetchall()
    return SourceManifest(
        id=new_event_id(),
        agency=row.agency,
        portal=row.portal,
        epoch=row.epoch,
        first_sequence=first or 0,
        last_sequence=row.last_sequence,
        delivered_sequence=row.delivered_sequence,
        buckets=tuple(
            Bucket(day=date(1970, 1, 1) + timedelta(days=day), event_type=name, count=count, digest=digest.hex())
            for day, name, count, digest in buckets
        ),
        sent_at=now,
        sdk=sdk_name(),
    )


@lru_cache(maxsize=1)
def sdk_name() -> str:
    """Name and version of this software."""
    try:
        return f"portalbus-python/{version('portalbus')}"
    except PackageNotFoundError:
        return "portalbus-python/unknown"


@lru_cache(maxsize=64)
def _time_text(milliseconds: int) -> bytes:
    return (_EPOCH + timedelta(milliseconds=milliseconds)).isoformat(timespec="milliseconds").encode()
