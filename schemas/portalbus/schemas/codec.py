"""Bytes and records: Confluent wire format, with every known way to hurt a decoder closed.

A value is `0x00`, a schema id of 4 bytes (big endian), then the Avro body. The envelope is the first field of each
payload record, so an encoded value is the concatenation of both parts: the SDK encodes what is said before it
knows the sequence, and the content hash covers exactly what is said.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from pydantic import ValidationError

from portalbus.schemas import avro_files
from portalbus.schemas.errors import UndecodableRecord
from portalbus.schemas.findings import Finding
from portalbus.schemas.models import (
    PAYLOADS,
    STATEMENTS,
    DirectivePublished,
    Envelope,
    Event,
    Model,
    Payload,
    SourceStatement,
)
from portalbus.schemas.rules import shape_findings
from portalbus.schemas.schema_lint import lint_schema

# Pydantic's own validators: `model_validate` around them takes as long as they do, and this is done for each event.
_valid_envelope = Envelope.__pydantic_validator__.validate_python
_VALID_PAYLOAD = {name: model.__pydantic_validator__.validate_python for name, model in PAYLOADS.items()}

MAGIC = b"\x00"
HEADER_BYTES = 5
MAX_VALUE_BYTES = 256 * 1024
"""Largest value that is decoded, header included; larger ones are parked unread."""
MOST_DESCRIBED = 20
"""Faults of one record that are put into words: a hostile one can have thousands."""


@dataclass(frozen=True, slots=True)
class Writer:
    """How to read what one schema id wrote: payload records in two parts, so that the payload's bytes can be hashed."""

    name: str
    parts: tuple[Any, ...]
    readers: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Decoded:
    """An event from the wire, with the SHA-256 of its payload's bytes."""

    event: Event
    content_hash: bytes


@dataclass(frozen=True, slots=True)
class Misshapen:
    """An event whose envelope is sound but whose payload breaks the contract's bounds; the findings say where."""

    envelope: Envelope
    event_type: str
    content_hash: bytes
    findings: tuple[Finding, ...]


class WriterSchemas:
    """The schema ids that may appear on a lane, with the record type each one writes.

    The allow-list is what keeps a record from choosing its own decoder: an id that is not here is never read.
    Raises ValueError for a schema that is not safe to decode with.
    """

    def __init__(self, by_id: Mapping[int, tuple[str, Any]]) -> None:
        self._by_id = {schema_id: _writer(name, raw) for schema_id, (name, raw) in by_id.items()}

    def add(self, schema_id: int, name: str, raw: Any) -> None:
        """Allows one more; other threads may read meanwhile. Raises ValueError as above."""
        self._by_id = {**self._by_id, schema_id: _writer(name, raw)}

    def __contains__(self, schema_id: int) -> bool:
        return schema_id in self._by_id

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[int]:
        return iter(self._by_id)

    def writer(self, schema_id: int) -> Writer:
        """How to read what this schema id wrote. Raises KeyError."""
        return self._by_id[schema_id]


def frame(schema_id: int, body: bytes) -> bytes:
    """The Confluent wire format of an Avro body."""
    return MAGIC + struct.pack(">I", schema_id) + body


def unframe(value: bytes | None) -> tuple[int, bytes]:
    """Schema id and body of a value. Raises UndecodableRecord for a value that is none of ours."""
    if not value:
        raise UndecodableRecord("record.empty", "the value is empty")
    if len(value) > MAX_VALUE_BYTES:
        raise UndecodableRecord("record.too-large", f"{len(value)} bytes, at most {MAX_VALUE_BYTES}")
    if len(value) <= HEADER_BYTES or value[:1] != MAGIC:
        raise UndecodableRecord("record.not-avro", "the value does not start with byte 0 and a schema id")
    return struct.unpack(">I", value[1:HEADER_BYTES])[0], value[HEADER_BYTES:]


def encode_envelope(envelope: Envelope | Mapping[str, Any]) -> bytes:
    """The Avro bytes of an envelope; a mapping of its fields is written as it is, unvalidated."""
    return _write(_envelope_schema(), envelope.__dict__ if isinstance(envelope, Envelope) else envelope)


def encode_payload(payload: Payload, version: int | None = None) -> bytes:
    """The Avro bytes of what is said, without the envelope; by an older version of the schema when one is given."""
    return _write(_payload_schema(payload.event_type, version), _plain(payload))


def encode_event(event: Event, schema_id: int) -> bytes:
    """A whole value in wire format."""
    return frame(schema_id, encode_envelope(event.envelope) + encode_payload(event.payload))


def encode_record(record: Model, name: str, schema_id: int) -> bytes:
    """A verdict or a manifest in wire format."""
    return frame(schema_id, _write(avro_files.parsed(name), record.model_dump()))


def content_hash(encoded_payload: bytes) -> str:
    """SHA-256 of the encoded payload, hexadecimal: equal when the same thing is said."""
    return hashlib.sha256(encoded_payload).hexdigest()


def decode(value: bytes | None, writers: WriterSchemas) -> Event | SourceStatement:
    """The event or statement in a value. Raises UndecodableRecord for anything else, a misshapen event included."""
    found = read(value, writers)
    if isinstance(found, Misshapen):
        raise UndecodableRecord("record.shape", "; ".join(finding.explain() for finding in found.findings))
    return found.event if isinstance(found, Decoded) else found


def read(value: bytes | None, writers: WriterSchemas) -> Decoded | Misshapen | SourceStatement:
    """What is in a value of a lane, to its very last byte. Raises UndecodableRecord with the rule id."""
    schema_id, body = unframe(value)
    if schema_id not in writers:
        raise UndecodableRecord("record.schema-not-allowed", f"schema id {schema_id} is not allowed on a lane")
    writer = writers.writer(schema_id)
    raw, start = _read_parts(body, writer)
    try:
        if writer.name in STATEMENTS:
            return STATEMENTS[writer.name].model_validate(raw[0])
        envelope: Envelope = _valid_envelope(raw[0])
    except ValidationError as error:
        raise UndecodableRecord("record.shape", describe(error)) from error
    digest = hashlib.sha256(body[start:]).digest()
    try:
        payload: Payload = _VALID_PAYLOAD[writer.name](raw[1])
    except ValidationError as error:
        return Misshapen(envelope, writer.name, digest, shape_findings(error))
    return Decoded(Event(envelope, payload), digest)


def _read_parts(body: bytes, writer: Writer) -> tuple[list[Any], int]:
    """The parts of a body, and where the last one starts. Raises UndecodableRecord."""
    stream = BytesIO(body)
    parts: list[Any] = []
    start = 0
    try:
        for schema, reader in zip(writer.parts, writer.readers, strict=True):
            start = stream.tell()
            parts.append(schemaless_reader(stream, schema, reader))
    except Exception as error:  # fastavro raises whatever the bytes lead it to: IndexError, OverflowError, EOFError …
        raise UndecodableRecord("record.undecodable", f"{type(error).__name__} while decoding") from error
    if stream.tell() != len(body):
        raise UndecodableRecord("record.trailing-bytes", f"{len(body) - stream.tell()} bytes after the end")
    return parts, start


def describe(error: ValidationError) -> str:
    """Places and kinds of a validation error, the first few, without the values (they may be personal)."""
    found = error.errors(include_input=False)
    told = [f"/{'/'.join(map(str, item['loc']))}: {item['msg']}" for item in found[:MOST_DESCRIBED]]
    return "; ".join([*told, f"and {len(found) - len(told)} more"] if len(found) > len(told) else told)


def _writer(name: str, raw: Any) -> Writer:
    problems = lint_schema(raw)
    if problems:
        raise ValueError(f"the schema of {name} is not safe to decode with: {'; '.join(problems)}")
    parts = _parts(name, raw)
    in_force = _parts(name, avro_files.current(name).raw)
    return Writer(
        name,
        tuple(parse_schema(part) for part in parts),
        tuple(_reader(part, now) for part, now in zip(parts, in_force, strict=True)),
    )


def _reader(part: Any, in_force: Any) -> Any:
    """The schema to resolve to, or None where it writes the same: resolving costs half a decode."""
    same = avro_files.fingerprint(part) == avro_files.fingerprint(in_force)
    return None if same else parse_schema(in_force)


def _parts(name: str, raw: Any) -> tuple[Any, ...]:
    """Envelope and rest of a payload record's schema; the whole schema of another record."""
    if name not in PAYLOADS:
        return (raw,)
    first, *rest = raw["fields"]
    if first["name"] != "envelope":
        raise ValueError(f"{name}: the envelope must be the first field")
    return {**first["type"], "namespace": raw["namespace"]}, {**raw, "fields": rest}


def _plain(payload: Payload) -> dict[str, Any]:
    fields = payload.__dict__  # iterating over a model takes as long as encoding it
    if isinstance(payload, DirectivePublished) and (payload.attachments or payload.relations):
        lists = {"attachments": payload.attachments, "relations": payload.relations}
        return fields | {name: [item.__dict__ for item in items] for name, items in lists.items()}
    return fields


def _write(schema: Any, datum: Mapping[str, Any]) -> bytes:
    stream = BytesIO()
    schemaless_writer(stream, schema, datum)
    return stream.getvalue()


@lru_cache
def _envelope_schema() -> Any:
    return parse_schema(_parts("FeedbackReceived", avro_files.current("FeedbackReceived").raw)[0])


@lru_cache
def _payload_schema(name: str, version: int | None) -> Any:
    file = avro_files.current(name) if version is None else avro_files.history(name)[version - 1]
    return parse_schema(_parts(name, file.raw)[1])
