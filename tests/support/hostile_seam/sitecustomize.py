"""Put on the PYTHONPATH of a worker under test: its allow-list holds two hostile schemas, which the lint let through.

Both belong to real attacks on fastavro: one record nests in itself, the other is a list of things that take no bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastavro import parse_schema

from portalbus.schemas import codec

RECURSIVE, NULLS = 0x00BAD001, 0x00BAD002
HOSTILE: Mapping[int, Any] = {
    RECURSIVE: {"type": "record", "name": "Inside", "fields": [{"name": "inside", "type": ["null", "Inside"]}]},
    NULLS: {"type": "array", "items": "null"},
}

_real = codec.WriterSchemas.__init__


def _with_hostile_ones(self: codec.WriterSchemas, by_id: Mapping[int, tuple[str, Any]]) -> None:
    _real(self, by_id)
    for schema_id, schema in HOSTILE.items():
        self._by_id[schema_id] = codec.Writer("FeedbackReceived", (parse_schema(schema),), (None,))


codec.WriterSchemas.__init__ = _with_hostile_ones  # type: ignore[method-assign]
