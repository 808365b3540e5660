"""Reads any record of the bus, whoever wrote it: by the schema that its first bytes name."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from typing import Any

from fastavro import parse_schema, schemaless_reader

from portalbus.schemas.avro_files import NAMESPACE
from portalbus.schemas.codec import unframe
from portalbus.schemas.errors import RegistryRefused, UndecodableRecord
from portalbus.schemas.registry import SchemaRegistry
from portalbus.schemas.schema_lint import lint_schema


class RecordReader:
    """Decodes values for people to look at. Knows each schema after asking the registry once."""

    def __init__(self, registry: SchemaRegistry) -> None:
        self._registry = registry
        self._schema = lru_cache(maxsize=256)(self._fetch)

    def read(self, value: bytes | None) -> tuple[str, dict[str, Any]]:
        """Record type and fields of a value.

        Raises UndecodableRecord for bytes that are none of the bus's records, RegistryUnavailable when the registry
        is away.
        """
        schema_id, body = unframe(value)
        name, schema = self._schema(schema_id)
        stream = BytesIO(body)
        try:
            fields: Any = schemaless_reader(stream, schema, None)
        except Exception as error:  # fastavro raises whatever the bytes lead it to
            raise UndecodableRecord("record.undecodable", f"{type(error).__name__} while decoding a {name}") from error
        if stream.tell() != len(body):
            raise UndecodableRecord("record.trailing-bytes", f"{len(body) - stream.tell()} bytes after the end")
        return name, fields

    def _fetch(self, schema_id: int) -> tuple[str, Any]:
        try:
            raw = self._registry.schema(schema_id)
        except RegistryRefused as error:
            raise UndecodableRecord("record.schema-not-allowed", f"the registry has no schema {schema_id}") from error
        full_name = f"{raw.get('namespace', '')}.{raw.get('name', '')}" if isinstance(raw, dict) else ""
        if not full_name.startswith(f"{NAMESPACE}.") or lint_schema(raw):
            raise UndecodableRecord("record.schema-not-allowed", f"schema {schema_id} is not one of the bus's")
        return full_name.removeprefix(f"{NAMESPACE}."), parse_schema(raw)
