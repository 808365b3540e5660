"""How far a subscription has come: kept in a file of its own, or where the portal keeps what it made of the events."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from portalbus.producers.delivery_lock import DeliveryLock
from portalbus.schemas.errors import PortalbusError


class SubscriptionInUse(PortalbusError):
    """Another process, or another subscription of this one, reads with the same place."""


class Place(NamedTuple):
    """Next offset of a partition, and the ledger position of the last event that was taken from it."""

    offset: int
    position: int


class PlaceKeeper(Protocol):
    """Where places are kept, by `topic/partition`. A portal's own database can be one."""

    def open(self) -> None:
        """Called before the first read; raises SubscriptionInUse when somebody else uses it."""

    def read(self) -> Mapping[str, Place]:
        """The places; empty when there are none yet."""

    def write(self, places: Mapping[str, Place]) -> None:
        """Keeps these places, durably, instead of what was there."""

    def close(self) -> None:
        """Lets another process use it."""


class PlaceFile:
    """Places in a small JSON file, replaced in one step and synced."""

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._lock = DeliveryLock(self._path.with_name(self._path.name + ".lock"))

    def open(self) -> None:
        """Makes the folder and takes the lock. Raises SubscriptionInUse."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if not self._lock.acquire():
            raise SubscriptionInUse(
                f"another process reads with the place in {self._path}: give each a file of its own"
            )

    def read(self) -> Mapping[str, Place]:
        """The places. Raises ValueError for a file that holds none."""
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise ValueError(f"{self._path} holds no places: delete it to read from the start") from error
        return {name: Place(*place) for name, place in found.items()}

    def write(self, places: Mapping[str, Place]) -> None:
        """Writes a new file, and puts it in the old one's place."""
        fresh = self._path.with_name(self._path.name + ".new")
        with fresh.open("w", encoding="utf-8") as file:
            json.dump(places, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        """Gives the lock back."""
        self._lock.release()
