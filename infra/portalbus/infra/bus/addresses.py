"""Where a bus is: from flags and environment for one that runs elsewhere, from the state folder for the local one."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from portalbus.infra.stack.endpoints import Endpoints
from portalbus.infra.stack.errors import StackError
from portalbus.infra.stack.paths import StateFolder

BUS_FILE = "bus.json"
VARIABLES = {
    "bootstrap": "PORTALBUS_BOOTSTRAP",
    "registry_url": "PORTALBUS_REGISTRY",
    "database_url": "PORTALBUS_DATABASE",
    "central_url": "PORTALBUS_CENTRAL",
    "gateway_url": "PORTALBUS_GATEWAY",
}
"""The environment variable of each address, as the SDK and the processes of the bus read them too."""


class BusNotRunning(StackError):
    """No bus is running where one was looked for."""

    def __init__(self, home: Path, missing: str) -> None:
        super().__init__(
            f"no bus is running in {home}, and {missing} is not set",
            "start one with `portalbus up`, or say where it is with the flag or the variable",
        )


@dataclass(frozen=True)
class Addresses:
    """Addresses of a bus; an empty text where one is not known. `database_url` holds a password: do not log it."""

    bootstrap: str = ""
    registry_url: str = ""
    database_url: str = ""
    central_url: str = ""
    gateway_url: str = ""

    def __repr__(self) -> str:
        database = self.database_url.rpartition("@")[2]
        return (
            f"Addresses(bootstrap={self.bootstrap!r}, registry_url={self.registry_url!r},"
            f" database={database!r}, central_url={self.central_url!r}, gateway_url={self.gateway_url!r})"
        )


def find_addresses(home: Path, need: tuple[str, ...] = (), **given: str | None) -> Addresses:
    """The addresses from flags (`given`), else the environment, else the bus running in `home`.

    Raises BusNotRunning when one that is needed is in none of these places.
    """
    local = local_addresses(home)
    found: dict[str, str] = {}
    for name in Addresses.__dataclass_fields__:
        found[name] = given.get(name) or os.environ.get(VARIABLES[name]) or getattr(local, name)
        if not found[name] and name in need:
            raise BusNotRunning(home, f"--{name.replace('_', '-')} ({VARIABLES[name]})")
    return Addresses(**found)


def local_addresses(home: Path) -> Addresses:
    """The addresses of the bus that runs in `home`; empty texts when there is none."""
    state = StateFolder.at(home)
    try:
        endpoints = Endpoints.read(state.endpoints)
    except (OSError, ValueError, TypeError):
        return Addresses()
    said = read_bus_file(state)
    return Addresses(
        endpoints.bootstrap,
        endpoints.registry_url,
        endpoints.database_url,
        str(said.get("central_url", "")),
        str(said.get("gateway_url", "")),
    )


def read_bus_file(state: StateFolder) -> dict[str, object]:
    """What the running bus says about itself; empty when none does."""
    try:
        return dict(json.loads((state.run / BUS_FILE).read_text()))
    except (OSError, ValueError):
        return {}
