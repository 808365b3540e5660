"""The Avro schemas that ship with the package: the current ones and their committed history."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from fastavro import parse_schema
from fastavro.schema import to_parsing_canonical_form

NAMESPACE = "portalbus.events"
PAYLOAD_TYPES = ("DirectivePublished", "FeedbackReceived", "FeedbackResolved", "FeedbackProgressed", "Canary")
CENTRE_TYPES = ("Verdict", "Alert", "ResendRequested", "DigestRequested")
LANE_TYPES = (*PAYLOAD_TYPES, "SourceManifest", "BucketContents")
ALL_TYPES = (*LANE_TYPES, *CENTRE_TYPES)


@dataclass(frozen=True)
class AvroFile:
    """One version of one record's schema."""

    name: str
    version: int
    text: str

    @property
    def subject(self) -> str:
        """Subject in the registry: the record's full name (RecordNameStrategy)."""
        return f"{NAMESPACE}.{self.name}"

    @property
    def raw(self) -> Any:
        """The schema as parsed JSON."""
        return json.loads(self.text)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the schema's parsing canonical form (Avro specification), hexadecimal."""
        return fingerprint(self.raw)


def fingerprint(schema: Any) -> str:
    """SHA-256 of a schema's parsing canonical form: equal for schemas that read and write the same bytes."""
    return hashlib.sha256(to_parsing_canonical_form(schema).encode()).hexdigest()


@lru_cache
def current(name: str) -> AvroFile:
    """The schema in force of a record type. Raises KeyError for an unknown type."""
    return history(name)[-1]


@lru_cache
def history(name: str) -> tuple[AvroFile, ...]:
    """All committed versions of a record type, oldest first."""
    if name not in ALL_TYPES:
        raise KeyError(name)
    folder = files("portalbus.schemas").joinpath("avro/history").joinpath(name)
    versions = sorted(int(entry.name.removesuffix(".avsc")) for entry in folder.iterdir())
    return tuple(
        AvroFile(name, version, folder.joinpath(f"{version}.avsc").read_text(encoding="utf-8")) for version in versions
    )


def working_text(name: str) -> str:
    """The schema as it stands in `avro/NAME.avsc`, committed to the history or not."""
    return files("portalbus.schemas").joinpath(f"avro/{name}.avsc").read_text(encoding="utf-8")


@lru_cache
def parsed(name: str) -> Any:
    """The schema in force, parsed for fastavro."""
    return parse_schema(current(name).raw)
