"""Decoding what the centre says, also when a newer centre wrote it with a schema this SDK has never seen."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from fastavro import parse_schema, schemaless_reader
from pydantic import ValidationError

from portalbus.schemas import avro_files
from portalbus.schemas.codec import describe, unframe
from portalbus.schemas.errors import UndecodableRecord
from portalbus.schemas.models import Model
from portalbus.schemas.notices import CENTRE_RECORDS
from portalbus.schemas.registry import SchemaRegistry
from portalbus.schemas.schema_lint import lint_schema


class CentreSchemas:
    """The writer schemas of verdicts and notices by id, asked of the registry once each."""

    def __init__(self, registry_url: str) -> None:
        self._registry = SchemaRegistry(registry_url)
        self._writers: dict[int, tuple[str, Any]] = {}

    def decode(self, value: bytes | None) -> Model:
        """The verdict or notice in a value.

        Raises UndecodableRecord, and RegistryUnavailable or RegistryRefused while a schema id is unknown.
        """
        schema_id, body = unframe(value)
        name, writer = self._writer(schema_id)
        stream = BytesIO(body)
        try:
            raw: Any = schemaless_reader(stream, writer, avro_files.parsed(name))
        except Exception as error:  # fastavro raises whatever the bytes lead it to
            raise UndecodableRecord("record.undecodable", f"{type(error).__name__} while decoding") from error
        if stream.read(1):
            raise UndecodableRecord("record.trailing-bytes", "there are bytes after the end")
        try:
            return CENTRE_RECORDS[name].model_validate(raw)
        except ValidationError as error:
            raise UndecodableRecord("record.shape", describe(error)) from error

    def _writer(self, schema_id: int) -> tuple[str, Any]:
        if schema_id not in self._writers:
            raw = self._registry.schema(schema_id)
            named = isinstance(raw, dict) and raw.get("namespace") == avro_files.NAMESPACE
            name = str(raw.get("name")) if named else "?"
            if name not in CENTRE_RECORDS or lint_schema(raw):
                raise UndecodableRecord("record.schema-not-allowed", f"schema id {schema_id} is none of the centre's")
            self._writers[schema_id] = name, parse_schema(raw)
        return self._writers[schema_id]
