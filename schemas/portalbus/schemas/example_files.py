"""The examples beside the contracts: events as they should be, and for each rule at least one that breaks it.

A file is one case: `examples/RECORD/valid/NAME.json` holds the event, `examples/RECORD/invalid/NAME.json` holds
`{"expect": {"rule": …, "path": …}, "event": …}`. An event is `{"envelope": …, "payload": …}`; a record of the
centre or a manifest stands for itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from portalbus.schemas.avro_files import ALL_TYPES
from portalbus.schemas.models import PAYLOADS, STATEMENTS, Envelope, Event, Model
from portalbus.schemas.notices import CENTRE_RECORDS

RECORDS: dict[str, type[Model]] = {**STATEMENTS, **CENTRE_RECORDS}


@dataclass(frozen=True)
class Example:
    """One example; `rule` and `path` are what is expected of an invalid one, empty for a valid one."""

    record: str
    name: str
    document: dict[str, Any]
    rule: str = ""
    path: str = ""

    @property
    def id(self) -> str:
        """`DirectivePublished/publish-text`."""
        return f"{self.record}/{self.name}"

    def event(self) -> Event:
        """The event of a payload record. Raises ValidationError where the shape is what is wrong with it."""
        envelope = Envelope.model_validate(self.document["envelope"])
        return Event(envelope=envelope, payload=PAYLOADS[self.record].model_validate(self.document["payload"]))

    def plain_record(self) -> Model:
        """The record of a manifest or verdict. Raises ValidationError."""
        return RECORDS[self.record].model_validate(self.document)


@lru_cache(maxsize=1)
def valid() -> tuple[Example, ...]:
    """All examples of what is right, by record and name."""
    return tuple(
        Example(record, name, document) for record in ALL_TYPES for name, document in _documents(record, "valid")
    )


@lru_cache(maxsize=1)
def invalid() -> tuple[Example, ...]:
    """All examples of what is wrong, by record and name, with the rule that says so."""
    return tuple(
        Example(record, name, document["event"], document["expect"]["rule"], document["expect"]["path"])
        for record in ALL_TYPES
        for name, document in _documents(record, "invalid")
    )


def _documents(record: str, kind: str) -> list[tuple[str, Any]]:
    folder = files("portalbus.schemas").joinpath(f"examples/{record}/{kind}")
    entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    return [(entry.name.removesuffix(".json"), json.loads(entry.read_text(encoding="utf-8"))) for entry in entries]
