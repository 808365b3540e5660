"""Telling from the bytes of a lane's record whether it is urgent, without decoding it.

Walks over the Avro fields up to the one that says it, in Python: hostile bytes can make the answer wrong, and nothing
else. What is urgent is then decoded with all care, and judged in its turn like everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from portalbus.schemas.codec import HEADER_BYTES, MAGIC, WriterSchemas

URGENT: Mapping[str, tuple[str, frozenset[str]]] = {
    "FeedbackReceived": ("urgency", frozenset({"URGENT"})),
    "FeedbackProgressed": ("step", frozenset({"URGENCY_CHANGED", "ACKNOWLEDGED"})),
}
"""By record: the field that says it, and what it says then."""

_NUMBERS = frozenset({"int", "long", "enum"})
_TEXTS = frozenset({"string", "bytes"})
_NUMBER, _TEXT, _FLAG, _PERHAPS_NUMBER, _PERHAPS_TEXT = range(5)


class UrgencyProbe:
    """Knows for each schema id which fields to walk over. What it cannot walk over is never urgent to it."""

    def __init__(self, writers: WriterSchemas) -> None:
        self._walks: dict[bytes, tuple[tuple[int, ...], frozenset[int]]] = {}
        for schema_id in writers:
            writer = writers.writer(schema_id)
            if writer.name not in URGENT:
                continue
            wanted, symbols = URGENT[writer.name]
            walk = list(_walk(writer.parts, wanted))
            if walk and isinstance(walk[-1], list):
                numbers = frozenset(number for number, symbol in enumerate(walk[-1]) if symbol in symbols)
                steps = tuple(step for step in walk[:-1] if isinstance(step, int))
                self._walks[MAGIC + schema_id.to_bytes(4, "big")] = (steps, numbers)

    def is_urgent(self, value: bytes | None) -> bool:
        """True when the record says that it is urgent."""
        if value is None:
            return False
        found = self._walks.get(value[:HEADER_BYTES])
        if found is None:
            return False
        steps, numbers = found
        try:
            return _number_behind(value, steps) in numbers
        except IndexError:
            return False


def _number_behind(value: bytes, steps: tuple[int, ...]) -> int:
    """The number behind these fields. Raises IndexError for a value that ends before.

    Hot: called for each record of each lane. Numbers that are stepped over are not worked out, and lengths of one byte,
    as nearly all are, take one look.
    """
    place = HEADER_BYTES
    for step in steps:
        byte = value[place]
        place += 1
        if step == _NUMBER:
            while byte > 127:
                byte = value[place]
                place += 1
        elif step == _TEXT:
            if byte > 127:
                length, place = _varint(value, place - 1)
                place += max(length, 0)
            else:
                place += byte >> 1
        elif step != _FLAG and byte == 2:  # there is a value behind this union's branch
            length, place = _varint(value, place)
            if step == _PERHAPS_TEXT:
                place += max(length, 0)
    return _varint(value, place)[0]


def _varint(value: bytes, place: int) -> tuple[int, int]:
    """A zigzag number, and the place behind it."""
    byte = value[place]
    place += 1
    number, shift = byte & 0x7F, 7
    while byte > 127:
        byte = value[place]
        place += 1
        number |= (byte & 0x7F) << shift
        shift += 7
    return (number >> 1) ^ -(number & 1), place


def _walk(parts: tuple[Any, ...], wanted: str) -> Iterator[int | list[str]]:
    """How to step over each field before the wanted one, and then its symbols; ends at one that is too complex."""
    for part in parts:
        for field in part["fields"]:
            if field["name"] == wanted:
                yield list(field["type"]["symbols"])
                return
            step = _step(field["type"])
            if step is None:
                return
            yield step


def _step(kind: Any) -> int | None:
    if isinstance(kind, list):
        if len(kind) != 2 or kind[0] != "null":
            return None
        inner = _step(kind[1])
        return {_NUMBER: _PERHAPS_NUMBER, _TEXT: _PERHAPS_TEXT}.get(inner) if inner is not None else None
    name = kind["type"] if isinstance(kind, dict) else kind
    if name in _NUMBERS:
        return _NUMBER
    if name in _TEXTS:
        return _TEXT
    return _FLAG if name == "boolean" else None
