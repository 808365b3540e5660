"""The shipped contracts beside what a registry holds."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from portalbus.schemas import avro_files
from portalbus.schemas.compatibility import check_all
from portalbus.schemas.errors import RegistryRefused
from portalbus.schemas.registry import COMPATIBILITY, SchemaRegistry


@dataclass(frozen=True)
class ContractRow:
    """One version of one contract; `id` is None when no registry is known or it does not hold it."""

    name: str
    subject: str
    version: int
    fingerprint: str
    fields: int
    id: int | None

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def contract_rows(registry_url: str) -> list[ContractRow]:
    """Every version of every contract. Raises RegistryUnavailable when a registry is named and does not answer."""
    registry = SchemaRegistry(registry_url) if registry_url else None
    return [
        ContractRow(
            file.name, file.subject, file.version, file.fingerprint, len(file.raw["fields"]), _id(registry, file)
        )
        for name in avro_files.ALL_TYPES
        for file in avro_files.history(name)
    ]


def check_contracts(registry_url: str) -> list[str]:
    """What is wrong with the contracts, each in a sentence with its remedy; empty when nothing is."""
    problems = [str(problem) for problem in check_all()]
    if registry_url:
        problems += _check_registry(SchemaRegistry(registry_url))
    return problems


def _check_registry(registry: SchemaRegistry) -> list[str]:
    problems = []
    known = registry.subjects()
    for name in avro_files.ALL_TYPES:
        files = avro_files.history(name)
        subject = files[-1].subject
        if subject not in known:
            problems.append(f"{subject}: is not registered; run `portalbus schemas register`")
            continue
        missing = [file.version for file in files if _id(registry, file) is None]
        if missing:
            problems.append(f"{subject}: versions {missing} are not registered; run `portalbus schemas register`")
        extra = len(registry.versions(subject)) - len(files) + len(missing)
        if extra > 0:
            problems.append(
                f"{subject}: the registry holds {extra} versions that are not shipped here; is this package older?"
            )
        level = registry.compatibility(subject)
        if level != COMPATIBILITY:
            problems.append(
                f"{subject}: compatibility is {level}, not {COMPATIBILITY}; run `portalbus schemas register`"
            )
    return problems


def _id(registry: SchemaRegistry | None, file: avro_files.AvroFile) -> int | None:
    if registry is None:
        return None
    try:
        return registry.lookup(file.subject, json.dumps(file.raw))
    except RegistryRefused:
        return None
