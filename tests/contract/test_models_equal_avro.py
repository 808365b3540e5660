"""The typed models and the Avro files say the same, in both directions, to the last default."""

from __future__ import annotations

import copy
import json
import types
from collections.abc import Iterator
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from pydantic import AwareDatetime, BaseModel, Field, create_model
from pydantic.fields import FieldInfo

from portalbus.schemas import avro_files
from portalbus.schemas.models import PAYLOADS, STATEMENTS, Envelope, Model
from portalbus.schemas.notices import CENTRE_RECORDS

INT_MAX = 2**31 - 1
MODELS: dict[str, type[BaseModel]] = {**PAYLOADS, **STATEMENTS, **CENTRE_RECORDS}
SIMPLE: dict[Any, Any] = {
    str: "string",
    bool: "boolean",
    AwareDatetime: {"type": "long", "logicalType": "timestamp-millis"},
    date: {"type": "int", "logicalType": "date"},
}


def avro_of(name: str, model: type[BaseModel]) -> dict[str, Any]:
    """The Avro schema that a model stands for; a payload's begins with its envelope."""
    seen: set[str] = set()
    schema = record_of(model, seen) if name not in PAYLOADS else payload_of(model, seen)
    return {**schema, "name": name}


def payload_of(model: type[BaseModel], seen: set[str]) -> dict[str, Any]:
    envelope = {"name": "envelope", "type": record_of(Envelope, seen)}
    schema = record_of(model, seen)
    return {**schema, "fields": [envelope, *schema["fields"]]}


def record_of(model: type[BaseModel], seen: set[str]) -> dict[str, Any]:
    seen.add(model.__name__)
    fields = [field_of(name, info, seen) for name, info in model.model_fields.items()]
    return {"type": "record", "name": model.__name__, "fields": fields}


def field_of(name: str, info: FieldInfo, seen: set[str]) -> dict[str, Any]:
    field: dict[str, Any] = {"name": name, "type": type_of(info.annotation, info.metadata, seen)}
    if not info.is_required():
        default = info.default
        field["default"] = list(default) if isinstance(default, tuple) else default
    return field


def type_of(annotation: Any, metadata: list[Any], seen: set[str]) -> Any:
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        return type_of(inner, [*metadata, *more], seen)
    if origin in (Union, types.UnionType):
        branches = [item for item in get_args(annotation) if item is not type(None)]
        assert len(branches) == 1 and len(get_args(annotation)) == 2, "only X | None is a union of ours"
        return ["null", type_of(branches[0], metadata, seen)]
    if origin is tuple:
        return {"type": "array", "items": type_of(get_args(annotation)[0], [], seen)}
    if annotation is int:
        return "int" if upper_bound(metadata) <= INT_MAX else "long"
    if isinstance(annotation, type) and issubclass(annotation, (BaseModel, StrEnum)):
        return named(annotation, seen)
    return SIMPLE[annotation]


def named(annotation: type[BaseModel] | type[StrEnum], seen: set[str]) -> Any:
    if annotation.__name__ in seen:
        return annotation.__name__
    if issubclass(annotation, BaseModel):
        return record_of(annotation, seen)
    seen.add(annotation.__name__)
    return {"type": "enum", "name": annotation.__name__, "symbols": [item.value for item in annotation]}


def upper_bound(metadata: list[Any]) -> float:
    """The `le` of an integer's constraints, which may lie inside a FieldInfo of an Annotated alias."""
    for item in metadata:
        inner = item.metadata if isinstance(item, FieldInfo) else [item]
        for constraint in inner:
            if hasattr(constraint, "le"):
                return float(constraint.le)
    return float("inf")


def bare(node: Any) -> Any:
    """A schema without what models do not carry: documentation, the namespace, and what an older enum reads as."""
    if isinstance(node, dict):
        left_out = ("doc", "namespace", "default") if node.get("type") == "enum" else ("doc", "namespace")
        return {key: bare(item) for key, item in node.items() if key not in left_out}
    return [bare(item) for item in node] if isinstance(node, list) else node


def differs(name: str, model: type[BaseModel], schema: Any) -> bool:
    return json.dumps(avro_of(name, model), sort_keys=True) != json.dumps(bare(schema), sort_keys=True)


@pytest.mark.parametrize("name", avro_files.ALL_TYPES)
def test_a_model_says_what_its_avro_file_says(name: str) -> None:
    schema = json.loads(avro_files.working_text(name))
    assert avro_of(name, MODELS[name]) == bare(schema)
    assert not differs(name, MODELS[name], schema)


def test_every_contract_has_a_model_and_every_model_a_contract() -> None:
    assert set(MODELS) == set(avro_files.ALL_TYPES)


@pytest.mark.parametrize("name", avro_files.ALL_TYPES)
def test_any_change_of_an_avro_file_is_noticed(name: str) -> None:
    schema = json.loads(avro_files.working_text(name))
    changes = list(avro_changes(schema))
    assert len(changes) > 20
    for what, changed in changes:
        assert differs(name, MODELS[name], changed), what


@pytest.mark.parametrize("name", avro_files.ALL_TYPES)
def test_any_change_of_a_model_is_noticed(name: str) -> None:
    schema = json.loads(avro_files.working_text(name))
    same = {field: (info.annotation, info) for field, info in MODELS[name].model_fields.items()}
    assert not differs(name, rebuilt(MODELS[name], same), schema)
    changes = list(model_changes(MODELS[name]))
    assert len(changes) > 20
    for what, changed in changes:
        assert differs(name, changed, schema), what


def avro_changes(schema: Any) -> Iterator[tuple[str, Any]]:
    """The schema with one thing changed, for every field and enum at every depth."""
    for path, field in places(schema, "fields"):
        for change in ("remove", "rename", "retype", "nullable", "default"):
            changed = copy.deepcopy(schema)
            fields = follow(changed, path)
            if change == "remove":
                del fields[field]
            elif change == "rename":
                fields[field]["name"] += "_x"
            elif change == "retype":
                fields[field]["type"] = "double"
            elif change == "nullable":
                old = fields[field]["type"]
                fields[field]["type"] = old[1] if isinstance(old, list) else ["null", old]
            elif "default" in fields[field]:
                del fields[field]["default"]
            else:
                fields[field]["default"] = "x"
            yield f"{change} {path}/{field}", changed
        added = copy.deepcopy(schema)
        follow(added, path).insert(field, {"name": "added", "type": "string"})
        yield f"add before {path}/{field}", added
    for path, symbol in places(schema, "symbols"):
        removed, added = copy.deepcopy(schema), copy.deepcopy(schema)
        del follow(removed, path)[symbol]
        follow(added, path).insert(symbol, "ADDED")
        yield f"remove {path}/{symbol}", removed
        yield f"add {path}/{symbol}", added


def places(node: Any, key: str, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], int]]:
    """Path of every list under `key`, with each index into it."""
    for step, item in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if step == key:
            yield from (((*path, step), index) for index in range(len(item)))
        yield from places(item, key, (*path, step))


def follow(node: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        node = node[step]
    return node


class Grown(StrEnum):
    """An enum that no contract has."""

    NORMAL = "NORMAL"


def model_changes(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """The model with one of its own fields removed, added, renamed, retyped, made (not) null or (not) required."""
    fields: dict[str, Any] = {name: (info.annotation, info) for name, info in model.model_fields.items()}
    yield "add", rebuilt(model, {**fields, "added": (str, ...)})
    yield "add optional", rebuilt(model, {**fields, "added": (str | None, None)})
    for name, info in model.model_fields.items():
        others = {key: value for key, value in fields.items() if key != name}
        yield f"remove {name}", rebuilt(model, others)
        renamed = {f"{key}_x" if key == name else key: value for key, value in fields.items()}
        yield f"rename {name}", rebuilt(model, renamed)
        retyped = bool if info.annotation is not bool else str
        yield f"retype {name}", rebuilt(model, {**fields, name: (retyped, ... if info.is_required() else info.default)})
        yield f"enum {name}", rebuilt(model, {**fields, name: (Grown, ... if info.is_required() else info.default)})
        loose = Field() if info.is_required() else Field(default=info.default)
        optional = type(None) in get_args(info.annotation)
        other = get_args(info.annotation)[0] if optional else constrained(info) | None
        yield f"nullable {name}", rebuilt(model, {**fields, name: (other, loose)})
        default = Field(default="x") if info.is_required() else Field()
        yield f"default {name}", rebuilt(model, {**fields, name: (constrained(info), default)})


def constrained(info: FieldInfo) -> Any:
    """A field's type with its constraints, without its default."""
    return Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation


def rebuilt(model: type[BaseModel], fields: dict[str, Any]) -> type[BaseModel]:
    return create_model(model.__name__, __base__=Model, **fields)
