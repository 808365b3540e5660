"""The event catalogue: fields, versions, what changed between them, verdicts on compatibility, examples, code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import unified_diff
from functools import cache
from importlib.resources import files
from typing import Any

from portalbus.schemas.avro_files import ALL_TYPES, PAYLOAD_TYPES, AvroFile, current, history
from portalbus.schemas.breaking_changes import breaking_changes
from portalbus.schemas.example_files import Example, valid
from portalbus.schemas.field_texts import field_texts, record_text
from portalbus.schemas.models import Texts
from portalbus.schemas.topics import TopicContract, contracts

FROM_PORTALS = ("DirectivePublished", "FeedbackReceived", "FeedbackResolved", "FeedbackProgressed")
"""What the gateway takes."""

SNIPPETS = {
    "Python, with the SDK": "publish.py",
    "curl, through the gateway": "publish.sh",
    "Java 17, through the gateway": "Publish.java",
}
"""How an event is published, by language, and the file with the code; it reads `event.json` beside it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a value may be: a name, the symbols of which it is one, or a list of such."""

    name: str
    symbols: tuple[str, ...] = ()
    is_list: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its path, the parts of its type, and its meaning."""

    path: str
    kinds: tuple[Kind, ...]
    is_optional: bool
    meaning: Texts


@dataclass(frozen=True, slots=True)
class Version:
    """One version, with the difference from the one before and what that breaks."""

    number: int
    fingerprint: str
    diff: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """Everything about one record; `snippets` are empty for what no portal publishes by hand."""

    name: str
    doc: Texts
    topics: tuple[TopicContract, ...]
    fields: tuple[Field, ...]
    versions: tuple[Version, ...]
    examples: tuple[Example, ...]
    cloud_event: str
    snippets: tuple[tuple[str, str], ...]
    is_event: bool


def entries() -> list[Entry]:
    """All records, those of portals first."""
    return [_entry(name) for name in ALL_TYPES]


@cache
def snippet(file: str, record: str) -> str:
    """The code of a snippet for one record."""
    text = files("portalbus.infra.docs").joinpath(f"snippets/{file}.txt").read_text(encoding="utf-8")
    return text.replace("RECORD", record)


def _entry(name: str) -> Entry:
    schema = current(name).raw
    examples = tuple(example for example in valid() if example.record == name)
    return Entry(
        name=name,
        doc=record_text(schema),
        topics=tuple(topic for topic in contracts() if name in topic.schemas),
        fields=tuple(_field(one.path, one.type, one.meaning) for one in field_texts(schema)),
        versions=tuple(_versions(history(name))),
        examples=examples,
        cloud_event=_cloud_event(examples[0]) if name in FROM_PORTALS and examples else "",
        snippets=tuple((title, snippet(file, name)) for title, file in SNIPPETS.items() if name in FROM_PORTALS),
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


def _field(path: str, kind: Any, meaning: Texts) -> Field:
    parts = kind if isinstance(kind, list) else [kind]
    return Field(path, tuple(_kind(part) for part in parts if part != "null"), "null" in parts, meaning)


def _kind(kind: Any) -> Kind:
    if not isinstance(kind, dict):
        return Kind(str(kind))
    if kind["type"] == "enum":
        return Kind("", tuple(kind["symbols"]))
    if kind["type"] == "array":
        return replace(_kind(kind["items"]), is_list=True)
    return Kind(str(kind.get("logicalType") or kind.get("name") or kind["type"]))
