"""What we ask of our own contracts beyond what Avro asks: documented, readable, safe to decode, one envelope."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from portalbus.schemas.avro_files import NAMESPACE, PAYLOAD_TYPES
from portalbus.schemas.schema_lint import lint_schema

FIELD_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
SYMBOL = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
TYPE_NAME = re.compile(r"[A-Z][A-Za-z0-9]*")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a contract: which record, which field (a path, empty for the whole), and why."""

    record: str
    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.record}{self.path}: {self.reason}"


def policy_problems(record: str, schema: Any) -> Iterator[Problem]:
    """What our policy has against one schema."""
    for sentence in lint_schema(schema):
        place, _, reason = sentence.partition(": ")
        yield Problem(record, place.removeprefix("$"), reason)
    if not isinstance(schema, dict) or schema.get("type") != "record":
        yield Problem(record, "", "a contract is a record")
        return
    if (schema.get("namespace"), schema.get("name")) != (NAMESPACE, record):
        yield Problem(record, "", f"must be named {NAMESPACE}.{record}, like its file and its subject")
    yield from _walk(record, "", schema)


def envelope_problems(schemas: Mapping[str, Any]) -> Iterator[Problem]:
    """Payload records whose first field is not the one envelope; `schemas` by record type."""
    first = {name: _first_field(schemas[name]) for name in PAYLOAD_TYPES if name in schemas}
    if not first:
        return
    model = json.dumps(next(iter(first.values())), sort_keys=True)
    for name, field in first.items():
        if field.get("name") != "envelope":
            yield Problem(name, "", "the envelope must be the first field: values are put together from two parts")
        elif json.dumps(field, sort_keys=True) != model:
            yield Problem(name, "/envelope", f"differs from the envelope of {next(iter(first))}")


def _walk(record: str, path: str, node: Any) -> Iterator[Problem]:
    if isinstance(node, list):
        for branch in node:
            yield from _walk(record, path, branch)
    if not isinstance(node, dict):
        return
    if "aliases" in node:
        yield Problem(record, path, "aliases are not used: a renamed thing is a new thing")
    kind = node.get("type")
    if kind == "record":
        yield from _record(record, path, node)
    elif kind == "enum":
        yield from _enum(record, path, node)
    else:
        for inner in ("type", "items", "values"):
            yield from _walk(record, path, node.get(inner))


def _record(record: str, path: str, node: dict[str, Any]) -> Iterator[Problem]:
    yield from _named(record, path, node)
    for field in node.get("fields", ()):
        place = f"{path}/{field.get('name')}"
        if not str(field.get("doc", "")).strip():
            yield Problem(record, place, "the field has no doc")
        if not FIELD_NAME.fullmatch(str(field.get("name"))):
            yield Problem(record, place, "field names are lower_snake_case")
        if "aliases" in field:
            yield Problem(record, place, "aliases are not used: a renamed field is a new field")
        yield from _walk(record, place, field.get("type"))


def _enum(record: str, path: str, node: dict[str, Any]) -> Iterator[Problem]:
    yield from _named(record, path, node)
    symbols = node.get("symbols", [])
    for symbol in symbols:
        if not SYMBOL.fullmatch(str(symbol)):
            yield Problem(record, path, f"enum symbols are UPPER_SNAKE_CASE, {symbol} is not")
        if symbols.count(symbol) > 1:
            yield Problem(record, path, f"the enum symbol {symbol} stands there twice")
    if "default" in node and node["default"] not in symbols:
        yield Problem(record, path, f"the enum's default {node['default']} is none of its symbols")


def _named(record: str, path: str, node: dict[str, Any]) -> Iterator[Problem]:
    if not str(node.get("doc", "")).strip():
        yield Problem(record, path, f"the {node['type']} {node.get('name')} has no doc")
    if not TYPE_NAME.fullmatch(str(node.get("name"))):
        yield Problem(record, path, f"type names are PascalCase, {node.get('name')} is not")


def _first_field(schema: Any) -> dict[str, Any]:
    fields = schema.get("fields") if isinstance(schema, dict) else None
    return fields[0] if fields and isinstance(fields[0], dict) else {}
