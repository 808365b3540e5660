"""Records of the canonical and verdict topics as messages."""

from __future__ import annotations

from datetime import datetime

from portalbus.connectors.push.messages import Message, event_message, verdict_message
from portalbus.producers.centre_schemas import CentreSchemas
from portalbus.schemas import avro_files
from portalbus.schemas.codec import Decoded, WriterSchemas, read, unframe
from portalbus.schemas.errors import UndecodableRecord
from portalbus.schemas.models import PAYLOADS, Verdict
from portalbus.schemas.registry import SchemaRegistry
from portalbus.schemas.topics import CANONICAL


class Decoder:
    """Knows each schema after asking the registry once. Not for several threads."""

    def __init__(self, registry_url: str) -> None:
        self._registry = SchemaRegistry(registry_url)
        self._centre = CentreSchemas(registry_url)
        self._names: dict[int, str] = {}
        self._writers: dict[int, WriterSchemas] = {}

    def message(self, value: bytes | None, position: int, shown_from: datetime | None = None) -> Message | None:
        """The message of a record; None for one that is not for receivers, such as a notice to a source.

        An answer may be shown from `shown_from` on; None where nothing speaks against it.

        Raises UndecodableRecord for a record that this program is too old to read, RegistryUnavailable and
        RegistryRefused while a schema is not known.
        """
        schema_id, _ = unframe(value)
        name = self._name(schema_id)
        if name in CANONICAL:
            content = read(value, self._writers[schema_id])
            if not isinstance(content, Decoded):
                raise UndecodableRecord("record.shape", f"the {name} at position {position} is not of a known shape")
            return event_message(content.event, position, shown_from)
        if name == Verdict.__name__:
            verdict = self._centre.decode(value)
            return verdict_message(verdict, position) if isinstance(verdict, Verdict) else None
        return None

    def _name(self, schema_id: int) -> str:
        if schema_id not in self._names:
            raw = self._registry.schema(schema_id)
            named = isinstance(raw, dict) and raw.get("namespace") == avro_files.NAMESPACE
            name = str(raw.get("name")) if named else "?"
            if name in PAYLOADS:
                try:
                    self._writers[schema_id] = WriterSchemas({schema_id: (name, raw)})
                except ValueError as error:
                    raise UndecodableRecord("record.schema-not-allowed", str(error)) from error
            self._names[schema_id] = name
        return self._names[schema_id]
