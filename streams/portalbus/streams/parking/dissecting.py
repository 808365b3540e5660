"""What can be made out of a parked record's bytes: schema, envelope, fields, and where it breaks."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from fastavro import parse_schema, schemaless_reader

from portalbus.schemas.codec import WriterSchemas, read, unframe
from portalbus.schemas.errors import UndecodableRecord


@dataclass(slots=True)
class Dissection:
    """How far a value reads: its schema id, the record type, the fields up to where it breaks, and what broke there.

    `broke_at` names the field (`/envelope/id`) and the byte after which it begins; empty when everything reads.
    """

    schema_id: int | None = None
    record: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    broke_at: str = ""
    problem: str = ""


def dissect(value: bytes | None, writers: WriterSchemas) -> Dissection:
    """Reads a value as far as it goes; raises nothing because of what is in it."""
    found = Dissection()
    try:
        found.schema_id, body = unframe(value)
    except UndecodableRecord as error:
        found.problem = error.detail
        return found
    if found.schema_id not in writers:
        found.problem = f"schema id {found.schema_id} is not allowed on a lane"
        return found
    writer = writers.writer(found.schema_id)
    found.record = writer.name
    stream = BytesIO(body)
    for part in writer.parts:
        prefix = "/envelope" if len(writer.parts) > 1 and part is writer.parts[0] else ""
        fields = _read_part(stream, part, prefix, found)
        found.fields |= {"envelope": fields} if prefix else fields
        if found.problem:
            return found
    if rest := len(body) - stream.tell():
        found.problem, found.broke_at = f"{rest} bytes after the end", f"byte {len(value or b'') - rest}"
    else:
        try:
            read(value, writers)
        except UndecodableRecord as error:
            found.problem = error.detail
    return found


def _read_part(stream: BytesIO, schema: Any, prefix: str, found: Dissection) -> dict[str, Any]:
    """The fields of one part, as many as can be read; the stream ends behind the last of them."""
    start = stream.tell()
    fields: dict[str, Any] = {}
    for count in range(1, len(schema["fields"]) + 1):
        at = stream.tell()
        stream.seek(start)
        try:
            fields = _read_first(stream, schema, count)
        except Exception as error:  # fastavro raises whatever the bytes lead it to
            name = schema["fields"][count - 1]["name"]
            found.problem = f"{type(error).__name__} while decoding"
            found.broke_at = f"{prefix}/{name}, from byte {at + 5}"
            break
    return fields


def _read_first(stream: BytesIO, schema: Any, count: int) -> dict[str, Any]:
    beginning = {**schema, "fields": schema["fields"][:count]}
    beginning.pop("__fastavro_parsed__", None)
    beginning.pop("__named_schemas", None)
    read_fields: Any = schemaless_reader(stream, parse_schema(beginning), None)
    return dict(read_fields)
