"""What a schema may not look like, whoever registered it.

A decoder follows the writer's schema, so a hostile schema is a hostile program: fastavro can be made to crash
natively by recursion, and to allocate gigabytes from seven bytes by an array of items that take no bytes. The
check therefore measures every type from the inside out, through references by name too: how deep its values
nest, how few bytes write one, and how many objects those bytes become.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

MAX_SCHEMA_BYTES = 64 * 1024
MAX_DEPTH = 16
MAX_FIXED_BYTES = 65_536
MAX_OBJECTS_PER_BYTE = 8
"""How many objects one byte may become inside an array or map; our own contracts stay under 2."""

LEAST_BYTES = {"boolean": 1, "int": 1, "long": 1, "float": 4, "double": 8, "bytes": 1, "string": 1}
LOGICAL_TYPES = frozenset({"date", "timestamp-millis", "timestamp-micros", "uuid"})
"""Logical types that decode in constant time; a long decimal, for one, does not."""

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}(\.[A-Za-z_][A-Za-z0-9_]{0,127})*")


def lint_schema(schema: Any) -> list[str]:
    """What is wrong with a schema, one sentence each; empty when it is safe to decode with."""
    try:
        size = len(json.dumps(schema).encode())
    except RecursionError:
        return [f"$: deeper than {MAX_DEPTH} levels"]
    except (TypeError, ValueError) as error:
        return [f"$: not a JSON document ({error})"]
    if size > MAX_SCHEMA_BYTES:
        return [f"$: the schema has {size} bytes, at most {MAX_SCHEMA_BYTES} are read"]
    lint = _Lint()
    measured = lint.measure(schema, "$", "", 1)
    if measured.depth > MAX_DEPTH:
        lint.problems.append(f"$: values nest {measured.depth} levels deep, at most {MAX_DEPTH} are decoded")
    return lint.problems


@dataclass(frozen=True, slots=True)
class _Measure:
    """How deep a value nests, the fewest bytes that write one, and the most objects such a value becomes."""

    depth: int = 1
    least_bytes: int = 1
    objects: int = 1


class _Lint:
    """One walk over one schema document. Names are full names, resolved as the specification says."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._measures: dict[str, _Measure] = {}
        self._open: set[str] = set()

    def measure(self, node: Any, path: str, space: str, level: int) -> _Measure:
        """Measures one type of the document and notes what is wrong with it."""
        if level > MAX_DEPTH * 2:  # each level of a value takes up to two of the document: a type and its wrapper
            return self._wrong(path, f"deeper than {MAX_DEPTH} levels")
        if isinstance(node, str):
            return self._named(node, path, space)
        if isinstance(node, list):
            return self._union(node, path, space, level)
        if isinstance(node, dict):
            return self._object(node, path, space, level)
        return self._wrong(path, "neither a name, a list nor an object")

    def _named(self, name: str, path: str, space: str) -> _Measure:
        if name == "null":
            return self._wrong(path, "null outside a union takes no bytes")
        if name in LEAST_BYTES:
            return _Measure(1, LEAST_BYTES[name], 1)
        full = _full_name(name, space)
        if full in self._open:
            return self._wrong(path, f"{name} contains itself")
        if full not in self._measures:
            return self._wrong(path, f"{name} is not defined before this place")
        return self._measures[full]

    def _union(self, branches: list[Any], path: str, space: str, level: int) -> _Measure:
        if not branches:
            return self._wrong(path, "a union without branches")
        if all(branch in ("null", {"type": "null"}) for branch in branches):
            return self._wrong(path, "a union that can only be null")
        measures = []
        for index, branch in enumerate(branches):
            if branch in ("null", {"type": "null"}):
                measures.append(_Measure(1, 0, 1))
            elif isinstance(branch, list):
                measures.append(self._wrong(f"{path}/{index}", "a union directly inside a union"))
            else:
                measures.append(self.measure(branch, f"{path}/{index}", space, level + 1))
        return _Measure(
            max(measure.depth for measure in measures),
            1 + min(measure.least_bytes for measure in measures),
            max(measure.objects for measure in measures),
        )

    def _object(self, node: dict[str, Any], path: str, space: str, level: int) -> _Measure:
        if any(str(key).startswith("__") for key in node):
            # fastavro takes "__fastavro_parsed" as its own word that a schema was checked, names and all.
            return self._wrong(path, "keys that begin with __ belong to decoders")
        if node.get("logicalType", "date") not in LOGICAL_TYPES:
            return self._wrong(path, f"the logical type {node['logicalType']} is not decoded on the bus")
        kind = node.get("type")
        if isinstance(kind, (dict, list)):
            return self.measure(kind, path, space, level + 1)
        if kind in ("array", "map"):
            return self._many(node.get("items" if kind == "array" else "values"), kind, path, space, level)
        if kind in ("record", "enum", "fixed"):
            return self._definition(node, kind, path, space, level)
        return self._named(kind, path, space) if isinstance(kind, str) else self._wrong(path, "a type without kind")

    def _many(self, items: Any, kind: str, path: str, space: str, level: int) -> _Measure:
        inside = self.measure(items, f"{path}/*", space, level + 1)
        key_bytes = 1 if kind == "map" else 0
        least = inside.least_bytes + key_bytes
        if least == 0:
            self._wrong(path, f"items of this {kind} may take no bytes")
        elif inside.objects > MAX_OBJECTS_PER_BYTE * least:
            self._wrong(path, f"items of this {kind} become {inside.objects} objects from {least} bytes")
        return _Measure(inside.depth + 1, 1, 1)

    def _definition(self, node: dict[str, Any], kind: str, path: str, space: str, level: int) -> _Measure:
        name = node.get("name")
        if not isinstance(name, str) or not NAME.fullmatch(name) or name in LEAST_BYTES or name == "null":
            return self._wrong(path, f"a {kind} without a proper name")
        full = _full_name(name, node.get("namespace", space))
        if full in self._measures or full in self._open:
            return self._wrong(path, f"{full} is defined twice")
        self._open.add(full)
        if kind == "record":
            measure = self._record(node, path, full.rpartition(".")[0], level)
        elif kind == "enum":
            measure = self._enum(node, path)
        else:
            measure = self._fixed(node, path)
        self._open.discard(full)
        self._measures[full] = measure
        return measure

    def _record(self, node: dict[str, Any], path: str, space: str, level: int) -> _Measure:
        fields = node.get("fields")
        if not isinstance(fields, list) or not fields:
            return self._wrong(path, "a record without fields takes no bytes")
        measures = []
        for field in fields:
            if not isinstance(field, dict) or not isinstance(field.get("name"), str):
                return self._wrong(path, "a field without a name")
            measures.append(self.measure(field.get("type"), f"{path}/{field['name']}", space, level + 1))
        return _Measure(
            1 + max(measure.depth for measure in measures),
            sum(measure.least_bytes for measure in measures),
            1 + sum(measure.objects for measure in measures),
        )

    def _enum(self, node: dict[str, Any], path: str) -> _Measure:
        symbols = node.get("symbols")
        if not isinstance(symbols, list) or not symbols:
            return self._wrong(path, "an enum without symbols")
        return _Measure()

    def _fixed(self, node: dict[str, Any], path: str) -> _Measure:
        size = node.get("size")
        if type(size) is not int or not 0 < size <= MAX_FIXED_BYTES:
            return self._wrong(path, f"a fixed of {size} bytes, from 1 to {MAX_FIXED_BYTES} are decoded")
        return _Measure(1, size, 1)

    def _wrong(self, path: str, what: str) -> _Measure:
        self.problems.append(f"{path}: {what}")
        return _Measure()


def _full_name(name: str, space: Any) -> str:
    return name if "." in name or not space else f"{space}.{name}"
