"""One entry of the configuration, ready to be read: its kind, its memory, its judge."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from portalbus.connectors.pull.config import PortalConfig, PullConfig
from portalbus.connectors.pull.judging import Judge
from portalbus.connectors.pull.kind import Kind
from portalbus.connectors.pull.kinds import kind
from portalbus.connectors.pull.memory import MemoryFile

UNREAD = frozenset({"every", "withdrawing", "max_items"})
"""Settings that do not change what is read."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One portal's source. `settings` is a digest of what its items are read under."""

    config: PortalConfig
    kind: Kind
    memory: MemoryFile
    judge: Judge
    settings: str

    @property
    def name(self) -> str:
        """What it is called: `H26/www`, or `H26/www/documents`."""
        return self.config.entry


def entries(config: PullConfig) -> list[Entry]:
    """The entries of a configuration, in its order."""
    return [
        Entry(
            portal,
            kind(portal.kind),
            MemoryFile(memory_path(config.memory, portal)),
            Judge(portal.agency, portal.portal),
            _digest(portal),
        )
        for portal in config.portals
    ]


def memory_path(folder: Path, portal: PortalConfig) -> Path:
    """The memory file of an entry."""
    return folder / f"{portal.entry.replace('/', '.')}.memory"


def _digest(portal: PortalConfig) -> str:
    said = json.dumps(portal.model_dump(mode="json", exclude=set(UNREAD)), sort_keys=True, default=str)
    return sha256(f"{_release()}\n{said}".encode()).hexdigest()


def _release() -> str:
    """A new release may read better than the one before: then everything is read again once."""
    try:
        return version("portalbus")
    except PackageNotFoundError:
        return ""
