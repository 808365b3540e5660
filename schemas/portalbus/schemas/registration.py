"""Putting the contracts into a registry, and learning their ids from it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from portalbus.schemas import avro_files
from portalbus.schemas.codec import WriterSchemas
from portalbus.schemas.registry import SchemaRegistry


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

    def lane_writers(self) -> WriterSchemas:
        """Every committed version that may be on a lane, by its id. Raises like `id_of`."""
        return self.writers(avro_files.LANE_TYPES)

    def writers(self, names: Iterable[str]) -> WriterSchemas:
        """Every committed version of these record types, by its id. Raises like `id_of`."""
        files = [file for name in names for file in avro_files.history(name)]
        return WriterSchemas({self._learn(file): (file.name, file.raw) for file in files})

    def _learn(self, file: avro_files.AvroFile) -> int:
        # By the whole text: versions that differ in a doc alone have ids of their own in a registry.
        place = f"{self._registry.url} {file.subject} {hashlib.sha256(file.text.encode()).hexdigest()}"
        if place not in self._ids:
            self._ids[place] = self._registry.lookup(file.subject, json.dumps(file.raw))
            self._write()
        return self._ids[place]

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
