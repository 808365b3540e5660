"""Putting the contracts into a registry, and learning their ids from it."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from portalbus.schemas import avro_files
from portalbus.schemas.codec import WriterSchemas
from portalbus.schemas.errors import NotRegistered, RegistryRefused, RegistryUnavailable
from portalbus.schemas.registry import SchemaRegistry

ABSENT = "absent"
"""Before the place of a version: the registry was asked, and did not hold it."""


def register_all(registry: SchemaRegistry) -> dict[str, int]:
    """Registers every committed version of every contract, oldest first; returns the id in force by record type."""
    ids: dict[str, int] = {}
    for name in avro_files.ALL_TYPES:
        for file in avro_files.history(name):
            ids[name] = registry.register(file.subject, json.dumps(file.raw))
        registry.set_compatibility(avro_files.current(name).subject)
    return ids


class SchemaIds:
    """Ids of the contracts in one registry, remembered on disk so that the registry is needed only once."""

    def __init__(self, registry: SchemaRegistry, cache: Path | None = None) -> None:
        self._registry = registry
        self._cache = cache
        self._ids: dict[str, int] = self._read()

    def id_of(self, name: str, version: int | None = None) -> int:
        """Id of a record type's schema: of one committed version, or of the one in force.

        Raises RegistryUnavailable when it is not remembered and the registry is away, RegistryRefused when the
        registry does not have it: run `portalbus schemas register`.
        """
        files = avro_files.history(name)
        return self._learn(files[-1] if version is None else next(file for file in files if file.version == version))

    def find(self, file: avro_files.AvroFile) -> int | None:
        """The id of one version, None where the registry does not hold it. That is remembered too.

        Raises RegistryUnavailable when neither is remembered and the registry is away.
        """
        try:
            return self._learn(file)
        except NotRegistered:
            self._remember(f"{ABSENT} {self.place_of(file)}", 0)
            return None
        except RegistryUnavailable:
            if f"{ABSENT} {self.place_of(file)}" in self._ids:
                return None
            raise

    def find_now(self, file: avro_files.AvroFile) -> int | None:
        """The same of a version that was missing: asked anew, unless another process has noted its id meanwhile.

        Raises RegistryUnavailable when the registry is away.
        """
        self._ids = self._read() | self._ids
        try:
            return self._learn(file)
        except NotRegistered:
            return None

    def held(self, subject: str) -> int:
        """How many versions of a subject the registry holds. Raises RegistryUnavailable."""
        try:
            return len(self._registry.versions(subject))
        except NotRegistered:
            return 0

    def lane_writers(self) -> WriterSchemas:
        """Every committed version that may be on a lane and is registered, by its id. Raises like LaneSchemas."""
        return LaneSchemas(self).writers

    def _learn(self, file: avro_files.AvroFile) -> int:
        place = self.place_of(file)
        if place not in self._ids:
            self._remember(place, self._registry.lookup(file.subject, json.dumps(file.raw)))
        return self._ids[place]

    def place_of(self, file: avro_files.AvroFile) -> str:
        """Under what its id is remembered."""
        # By the whole text: versions that differ in a doc alone have ids of their own in a registry.
        return f"{self._registry.url} {file.subject} {hashlib.sha256(file.text.encode()).hexdigest()}"

    def _remember(self, place: str, number: int) -> None:
        if self._ids.get(place) != number:
            self._ids[place] = number
            self._write()

    def _read(self) -> dict[str, int]:
        if self._cache is None:
            return {}
        try:
            return {str(key): int(value) for key, value in json.loads(self._cache.read_text()).items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}  # a lost or torn cache costs one look-up, never more

    def _write(self) -> None:
        if self._cache is not None:
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            torn = self._cache.with_suffix(f".{os.getpid()}.part")
            torn.write_text(json.dumps(self._ids, indent=1))
            torn.replace(self._cache)


class LaneSchemas:
    """The schemas that may be on a lane: `writers` reads what the registry holds of them, `missing` are the shipped
    versions that it does not hold yet.

    Raises RegistryUnavailable when one is not remembered and the registry is away, RegistryRefused when the registry
    holds none of them, or others in their place.
    """

    def __init__(self, ids: SchemaIds) -> None:
        self._ids = ids
        self._one_at_a_time = threading.Lock()
        self.known: dict[int, avro_files.AvroFile] = {}
        self.missing: list[avro_files.AvroFile] = []
        for file in (file for name in avro_files.LANE_TYPES for file in avro_files.history(name)):
            schema_id = ids.find(file)
            if schema_id is None:
                self.missing.append(file)
            else:
                self.known[schema_id] = file
        if not self.known:
            raise NotRegistered("the registry holds no contract of the lanes: run `portalbus schemas register`")
        self._refuse_others()
        self.writers = WriterSchemas({schema_id: (file.name, file.raw) for schema_id, file in self.known.items()})

    def look(self) -> Iterator[avro_files.AvroFile]:
        """Asks for what is missing; gives each version that is registered now, once `writers` reads it.

        Any thread may. Raises RegistryUnavailable, RegistryRefused.
        """
        for file in tuple(self.missing):
            with self._one_at_a_time:
                learned = file in self.missing and self._learn(file)
            if learned:
                yield file

    def _learn(self, file: avro_files.AvroFile) -> bool:
        schema_id = self._ids.find_now(file)
        if schema_id is None:
            return False
        self.writers.add(schema_id, file.name, file.raw)
        self.known = {**self.known, schema_id: file}
        self.missing.remove(file)
        return True

    def _refuse_others(self) -> None:
        """A registry that lacks a shipped version and holds one that is not shipped has another history."""
        for subject in {file.subject for file in self.missing}:
            lacking = [file.version for file in self.missing if file.subject == subject]
            shipped = sum(file.subject == subject for file in self.known.values())
            with suppress(RegistryUnavailable):  # it was looked at when it was remembered what is missing
                if (others := self._ids.held(subject) - shipped) > 0:
                    raise RegistryRefused(
                        f"{subject}: the registry holds {others} versions that are not shipped here, and not {lacking}"
                    )
