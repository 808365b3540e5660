"""What records and their fields mean, in three languages: English in the schemas, the others in `data/fields.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

from portalbus.schemas.models import Texts

WHOLE = "*"
"""Stands for the record itself."""


class FieldText(NamedTuple):
    """One field of a record, as a path from the outermost one (`attachments.url`), its Avro type and its meaning."""

    path: str
    type: Any
    meaning: Texts


@lru_cache(maxsize=1)
def known_texts() -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    """By record and field the texts in vi and zh, read once."""
    return tomllib.loads(files("portalbus.schemas").joinpath("data/fields.toml").read_text(encoding="utf-8"))


def record_text(schema: Mapping[str, Any]) -> Texts:
    """What a record is. Raises KeyError for one that has no texts."""
    return Texts(en=schema["doc"], **known_texts()[schema["name"]][WHOLE])


def field_texts(schema: Mapping[str, Any], prefix: str = "") -> Iterator[FieldText]:
    """The fields of a record and of the records within it, in its order. Raises KeyError for one that has no texts."""
    texts = known_texts()[schema["name"]]
    for field in schema["fields"]:
        path = prefix + field["name"]
        yield FieldText(path, field["type"], Texts(en=field["doc"], **texts[field["name"]]))
        inner = record_in(field["type"])
        if inner is not None:
            yield from field_texts(inner, path + ".")


def record_in(kind: Any) -> Mapping[str, Any] | None:
    """The record that a field's type holds: it, one of a union, or what a list is of; None when there is none."""
    if isinstance(kind, list):
        return next((found for part in kind if (found := record_in(part)) is not None), None)
    if isinstance(kind, dict):
        if kind["type"] == "record":
            return kind
        return record_in(kind.get("items")) if kind["type"] == "array" else None
    return None
