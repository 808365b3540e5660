"""A schema that could hurt the decoder is refused, in whatever form the harm is written (RELIABILITY 3.2)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from portalbus.schemas import avro_files
from portalbus.schemas.schema_lint import MAX_DEPTH, MAX_SCHEMA_BYTES, lint_schema


def record(*types: Any, name: str = "R", **more: Any) -> dict[str, Any]:
    fields = [{"name": f"f{index}", "type": kind} for index, kind in enumerate(types)]
    return {"type": "record", "name": name, "fields": fields, **more}


def array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def values(kind: Any) -> dict[str, Any]:
    return {"type": "map", "values": kind}


EMPTY = {"type": "record", "name": "E", "fields": []}
ZERO = {"type": "fixed", "name": "Z", "size": 0}
NULLS = record("null", "null", name="N")

HOSTILE: dict[str, tuple[Any, str]] = {
    "a list of itself": (record(["null", "R"], "long"), "contains itself"),
    "itself in an array": (record(array("R")), "contains itself"),
    "itself in a map": (record(values("R")), "contains itself"),
    "itself by its full name": (record(["null", "a.b.R"], namespace="a.b"), "contains itself"),
    "itself by the name's own namespace": (record(["null", "a.b.R"], name="a.b.R"), "contains itself"),
    "itself two records down": (record(record(["null", "R"], name="S")), "contains itself"),
    "itself through a type wrapped in type": (record({"type": {"type": "R"}}), "contains itself"),
    "itself through a union wrapped in type": (record({"type": ["null", "R"]}), "contains itself"),
    "an array of null": (array("null"), "no bytes"),
    "an array of wrapped null": (array({"type": "null"}), "no bytes"),
    "an array of twice wrapped null": (array({"type": {"type": "null"}}), "no bytes"),
    "an array of an empty record": (array(EMPTY), "no bytes"),
    "an array of a record of nulls": (array(NULLS), "no bytes"),
    "an array of an empty record by name": (record(EMPTY, array("E")), "no bytes"),
    "an array of a record of an empty record": (array(record(EMPTY)), "no bytes"),
    "an array of a fixed of nothing": (array(ZERO), "fixed of 0 bytes"),
    "an array of a fixed of nothing by name": (record(ZERO, array("Z")), "fixed of 0 bytes"),
    "an array of unions of null": (array(["null"]), "only be null"),
    "a map of null": (values("null"), "no bytes"),
    "a map of an empty record": (values(EMPTY), "no bytes"),
    "a map of unions of null": (values(["null"]), "only be null"),
    "two names that are one but for the namespace": (
        record(
            record("null", name="a.X"),
            record("string", name="b.X"),
            array("a.X"),
        ),
        "no bytes",
    ),
    "an array of one byte and a thousand nulls": (array(record("boolean", *["null"] * 1_000)), "no bytes"),
    "a fixed of a negative size": ({"type": "fixed", "name": "F", "size": -1}, "fixed of -1 bytes"),
    "a fixed of a size that is no number": ({"type": "fixed", "name": "F", "size": "9"}, "fixed of 9 bytes"),
    "a fixed of a gigabyte": ({"type": "fixed", "name": "F", "size": 2**30}, "fixed of 1073741824 bytes"),
    "a long decimal": ({"type": "bytes", "logicalType": "decimal", "precision": 9_999}, "logical type decimal"),
    "a type that is not defined": (record("Elsewhere"), "not defined before"),
    "a type that is defined later": (record("S", record("string", name="S")), "not defined before"),
    "a type that is defined twice": (record(record("int", name="S"), record("string", name="S")), "defined twice"),
    "a record that takes a primitive's name": (record(record("null", name="string"), array("string")), "proper name"),
    "a record without a name": ({"type": "record", "fields": []}, "proper name"),
    "a record without fields": ({"type": "record", "name": "R"}, "no bytes"),
    "a field without a name": ({"type": "record", "name": "R", "fields": [{"type": "int"}]}, "field without a name"),
    "an enum without symbols": ({"type": "enum", "name": "E", "symbols": []}, "without symbols"),
    "a union without branches": (record([]), "without branches"),
    "a union in a union": (record(["null", ["null", "int"]]), "union directly inside a union"),
    "an array without items": ({"type": "array"}, "neither a name"),
    "an error type": ({"type": "error", "name": "E", "fields": []}, "not defined before"),
    "a number for a type": (record(7), "neither a name"),
    "no type at all": ({}, "without kind"),
    "fastavro's own mark": ({**record("int"), "__fastavro_parsed": True}, "belong to decoders"),
    "fastavro's own names": (
        {**record("X"), "__fastavro_parsed": True, "__named_schemas": {"X": record(["null", "X"], name="X")}},
        "belong to decoders",
    ),
    "too large a document": (record("string", doc="x" * MAX_SCHEMA_BYTES), f"at most {MAX_SCHEMA_BYTES}"),
    "not a document": (record({"type": {1, 2}}), "not a JSON document"),
}


@pytest.mark.parametrize(("schema", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_schema_is_refused(schema: Any, reason: str) -> None:
    problems = lint_schema(schema)
    assert problems
    assert any(reason in problem for problem in problems), problems


@pytest.mark.parametrize("wrap", [array, values, lambda inner: {"type": inner}, lambda inner: ["null", inner]])
@pytest.mark.parametrize("levels", [100, 3_000])
def test_a_deep_schema_is_refused_and_does_not_exhaust_the_stack(wrap: Any, levels: int) -> None:
    schema: Any = "int"
    for _ in range(levels):
        schema = wrap(schema)
    assert any("deeper than" in problem or "directly inside" in problem for problem in lint_schema(schema))


def test_deep_records_are_refused() -> None:
    schema: Any = "int"
    for level in range(MAX_DEPTH + 1):
        schema = record(schema, name=f"R{level}")
    assert any("levels" in problem for problem in lint_schema(schema))


def test_depth_is_counted_through_names_too() -> None:
    # Each record is written flat, one after the other, but a value of the last nests through all of them.
    chain = [record("int", name="R0"), *(record(f"R{level - 1}", name=f"R{level}") for level in range(1, 40))]
    problems = lint_schema(record(*chain, name="Root"))
    assert any("values nest" in problem for problem in problems)


def test_many_objects_from_few_bytes_are_refused_also_by_name() -> None:
    chain: list[Any] = [record("int", name="R0")]
    chain += [record(f"R{level - 1}", name=f"R{level}") for level in range(1, 12)]
    problems = lint_schema(record(*chain, array("R11"), name="Root"))
    assert any("objects from 1 bytes" in problem for problem in problems)


@pytest.mark.parametrize("name", avro_files.ALL_TYPES)
def test_every_committed_version_of_ours_is_safe(name: str) -> None:
    for file in avro_files.history(name):
        assert lint_schema(file.raw) == []


@pytest.mark.parametrize(
    "schema",
    [
        "string",
        record("int", ["null", "string"], array("string"), values("long")),
        record(record("int", name="S"), array("S"), ["null", "S"]),
        record(record("int", name="a.X"), record("string", name="b.X"), array("a.X"), array("b.X")),
        record({"type": "enum", "name": "E", "symbols": ["A"]}, "E", {"type": "fixed", "name": "F", "size": 16}),
        record({"type": "long", "logicalType": "timestamp-millis"}, {"type": "int", "logicalType": "date"}),
    ],
    ids=json.dumps,
)
def test_a_harmless_schema_passes(schema: Any) -> None:
    assert lint_schema(schema) == []
