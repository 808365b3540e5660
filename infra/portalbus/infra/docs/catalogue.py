"""The event catalogue: fields, versions, what changed between them, verdicts on compatibility, examples, code."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any

from portalbus.schemas.avro_files import ALL_TYPES, PAYLOAD_TYPES, AvroFile, current, history
from portalbus.schemas.breaking_changes import breaking_changes
from portalbus.schemas.example_files import Example, valid
from portalbus.schemas.topics import contracts

FROM_PORTALS = ("DirectivePublished", "FeedbackReceived", "FeedbackResolved")
"""What the gateway takes."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its path, its type in words, and its meaning."""

    path: str
    type: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Version:
    """One version, with the difference from the one before and what that breaks."""

    number: int
    fingerprint: str
    diff: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """Everything about one record."""

    name: str
    doc: str
    topics: tuple[str, ...]
    fields: tuple[Field, ...]
    versions: tuple[Version, ...]
    examples: tuple[Example, ...]
    cloud_event: str
    is_event: bool


def entries() -> list[Entry]:
    """All records, those of portals first."""
    return [_entry(name) for name in ALL_TYPES]


def fields_of(schema: Mapping[str, Any], prefix: str = "") -> Iterator[Field]:
    """The fields of a record and of the records within it."""
    for field in schema["fields"]:
        path = prefix + field["name"]
        yield Field(path, _type(field["type"]), field.get("doc", ""))
        inner = _record_in(field["type"])
        if inner is not None:
            yield from fields_of(inner, path + ".")


def _entry(name: str) -> Entry:
    schema = current(name).raw
    examples = tuple(example for example in valid() if example.record == name)
    return Entry(
        name=name,
        doc=schema["doc"],
        topics=tuple(topic.name for topic in contracts() if name in topic.schemas),
        fields=tuple(fields_of(schema)),
        versions=tuple(_versions(history(name))),
        examples=examples,
        cloud_event=_cloud_event(examples[0]) if name in FROM_PORTALS and examples else "",
        is_event=name in PAYLOAD_TYPES,
    )


def _versions(found: tuple[AvroFile, ...]) -> Iterator[Version]:
    for number, file in enumerate(found):
        if number == 0:
            yield Version(file.version, file.fingerprint, "", ())
            continue
        before = found[number - 1]
        diff = unified_diff(_pretty(before), _pretty(file), f"v{before.version}", f"v{file.version}", lineterm="", n=2)
        problems = breaking_changes(file.name, before.version, before.raw, file.raw)
        yield Version(file.version, file.fingerprint, "\n".join(diff), tuple(map(str, problems)))


def _pretty(file: AvroFile) -> list[str]:
    return json.dumps(file.raw, indent=2, ensure_ascii=False).splitlines()


def _cloud_event(example: Example) -> str:
    envelope = example.document["envelope"]
    event = {
        "specversion": "1.0",
        "id": envelope["id"],
        "source": f"/{envelope['agency']}/{envelope['portal']}",
        "type": f"portalbus.events.{example.record}",
        "data": example.document["payload"],
    }
    return json.dumps(event, indent=2, ensure_ascii=False)


def _record_in(kind: Any) -> Mapping[str, Any] | None:
    if isinstance(kind, list):
        return next((found for part in kind if (found := _record_in(part)) is not None), None)
    if isinstance(kind, dict):
        if kind["type"] == "record":
            return kind
        return _record_in(kind.get("items")) if kind["type"] == "array" else None
    return None


def _type(kind: Any) -> str:
    if isinstance(kind, list):
        named = [_type(part) for part in kind if part != "null"]
        return " or ".join(named) + (", optional" if "null" in kind else "")
    if not isinstance(kind, dict):
        return str(kind)
    if kind["type"] == "enum":
        return "one of " + ", ".join(kind["symbols"])
    if kind["type"] == "array":
        return f"list of {_type(kind['items'])}"
    return str(kind.get("logicalType") or kind.get("name") or kind["type"])
