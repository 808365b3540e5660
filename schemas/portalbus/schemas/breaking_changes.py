"""What a new version of a schema would break, in both directions, by the rules of Apache Avro's own checker.

The rules are those of `avro.compatibility`; here they are only asked field by field, so that each answer can
name its field, and put into words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import fastavro

from portalbus.schemas.schema_policy import Problem

if TYPE_CHECKING:
    from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityResult

WORDS = {
    # kind of incompatibility: (the new version cannot read the old one, the old one cannot read the new one)
    "reader_field_missing_default_value": (
        "a new field needs a default, or records of version {version} cannot be read",
        "the field was removed, but version {version} has no default for it and its readers need it",
    ),
    "missing_enum_symbols": (
        "an enum symbol of version {version} was removed: {detail}",
        "an enum symbol was added that readers of version {version} do not know: {detail}",
    ),
    "type_mismatch": (
        "its type changed, records of version {version} cannot be read: {detail}",
        "its type changed, readers of version {version} cannot read it: {detail}",
    ),
    "missing_union_branch": (
        "a type of version {version} is no longer allowed here: {detail}",
        "a type was added that readers of version {version} do not know: {detail}",
    ),
    "name_mismatch": (
        "its type was renamed since version {version}: {detail}",
        "its type was renamed since version {version}: {detail}",
    ),
    "fixed_size_mismatch": (
        "its size changed since version {version}: {detail}",
        "its size changed since version {version}: {detail}",
    ),
}
LOGICAL = "its logical type changed since version {version}: the same bytes would mean something else"


def breaking_changes(record: str, version: int, old: Any, new: Any) -> list[Problem]:
    """Why `new` is not FULLy compatible with version `version`, `old`; both as parsed JSON. Empty when it is.

    Raises ImportError, saying what to install, where Apache's `avro` package is missing.
    """
    old_type, new_type = _parsed(old), _parsed(new)
    found = [
        *_directed(record, version, reader=new_type, writer=old_type, old_reads_new=False),
        *_directed(record, version, reader=old_type, writer=new_type, old_reads_new=True),
        *_logical_changes(record, version, old_type, new_type, ""),
    ]
    return list(dict.fromkeys(found))


def parse_problem(record: str, schema: Any) -> Problem | None:
    """Why a schema is refused by the parsers in use, for a wrong default for one; None when both take it."""
    errors = _apache("avro.errors")
    try:
        fastavro.parse_schema(schema)
        _parsed(schema)
    except (fastavro.schema.SchemaParseException, fastavro.schema.UnknownType, errors.AvroException) as error:
        return Problem(record, "", f"not a valid Avro schema: {error}")
    return None


def _parsed(schema: Any) -> Any:
    return _apache("avro.schema").parse(json.dumps(schema))


def _apache(module: str) -> Any:
    """A module of Apache's package, which only those who change contracts need to have."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            "Checking schema compatibility needs Apache's `avro` package: pip install 'portalbus[dev]'"
        ) from error


def _directed(record: str, version: int, reader: Any, writer: Any, *, old_reads_new: bool) -> Iterator[Problem]:
    """What `reader` cannot read of what `writer` writes, one problem a field."""
    whole = _checker().get_compatibility(reader, writer)
    if not whole.incompatibilities:
        return
    fields = list(_field_results(reader, writer, "")) if _record_in(reader) and _record_in(writer) else []
    for path, result in fields or [("", whole)]:
        detail = ", ".join(sorted(result.messages))
        for kind in sorted({kind.value for kind in result.incompatibilities}):
            reason = WORDS[kind][old_reads_new].format(version=version, detail=detail)
            yield Problem(record, path, reason)


def _field_results(reader: Any, writer: Any, path: str) -> Iterator[tuple[str, SchemaCompatibilityResult]]:
    """The checker's answer for each field alone; where both sides are records, for the fields inside."""
    for field in reader.fields:
        # The checker looks at nothing of a reader but its fields, so one field alone can be asked about.
        alone = cast(Any, SimpleNamespace(fields=[field]))
        result = _checker().check_reader_writer_record_fields(alone, writer, ["/"])
        if not result.incompatibilities:
            continue
        place = f"{path}/{field.name}"
        theirs = writer.fields_dict.get(field.name)
        inside = _record_in(field.type), _record_in(theirs.type) if theirs else None
        deeper = list(_field_results(*inside, place)) if all(inside) else []
        yield from deeper or [(place, _closer(field.type, theirs.type, result) if theirs else result)]


def _closer(reader: Any, writer: Any, result: SchemaCompatibilityResult) -> SchemaCompatibilityResult:
    """The answer for what two nullable types hold: it says more than that a union lacks a type."""
    held = _held(reader), _held(writer)
    inside = _checker().get_compatibility(*held) if all(held) else result
    return inside if inside.incompatibilities else result


def _held(schema: Any) -> Any:
    """The one type that a nullable type holds; None for another type."""
    branches = [branch for branch in schema.schemas if branch.type != "null"] if schema.type == "union" else []
    return branches[0] if len(branches) == 1 else None


def _checker() -> ReaderWriterCompatibilityChecker:
    """A new one each time: it remembers answers by the identity of what it was asked."""
    checker: ReaderWriterCompatibilityChecker = _apache("avro.compatibility").ReaderWriterCompatibilityChecker()
    return checker


def _logical_changes(record: str, version: int, old: Any, new: Any, path: str) -> Iterator[Problem]:
    """Fields whose logical type changed. Avro's compatibility looks through logical types; readers do not."""
    olds, news = _record_in(old), _record_in(new)
    if olds is None or news is None:
        return
    for field in news.fields:
        before = olds.fields_dict.get(field.name)
        if before is None:
            continue
        place = f"{path}/{field.name}"
        if _logical_types(before.type) != _logical_types(field.type):
            yield Problem(record, place, LOGICAL.format(version=version))
        yield from _logical_changes(record, version, before.type, field.type, place)


def _record_in(schema: Any) -> Any:
    """The record that a type is, lists, or may be; None when there is none."""
    if schema.type in ("array", "map"):
        return _record_in(schema.items if schema.type == "array" else schema.values)
    if schema.type == "union":
        return next(filter(None, map(_record_in, schema.schemas)), None)
    return schema if schema.type == "record" else None


def _logical_types(schema: Any) -> list[str]:
    if schema.type in ("array", "map"):
        return _logical_types(schema.items if schema.type == "array" else schema.values)
    if schema.type == "union":
        return sorted(name for branch in schema.schemas for name in _logical_types(branch))
    name = schema.props.get("logicalType")
    return [name] if name else []
