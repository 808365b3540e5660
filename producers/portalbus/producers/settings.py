"""What a portal is told about its surroundings; read once, in one place."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from types import MappingProxyType
from typing import Any

from portalbus.schemas.kafka_settings import kafka_from_env
from portalbus.schemas.spelling import AGENCY_CODE, PORTAL_ID

MIB = 1024 * 1024
PREFIX = "PORTALBUS_"
NEEDED = {"agency": "AGENCY", "bootstrap": "BOOTSTRAP", "registry_url": "REGISTRY", "outbox": "OUTBOX"}
"""Arguments of `Portal` that the environment must hold, with the variable's name after the prefix."""

KEPT = {"keep_days": "KEEP_DAYS", "keep_bytes": "KEEP_BYTES"}
"""Fields of `Bounds` that the environment may hold: for how long, and how much, an outbox keeps what it has sent."""

NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much an outbox may hold.

    `rows` and `bytes` bound what is not delivered yet: beyond, publishing raises OutboxFull. `free_disk` bytes of the
    disk are never used up. Delivered events are kept for `keep_days` days, or until they fill `keep_bytes`, so that
    the centre can ask for them again.
    """

    rows: int = 1_000_000
    bytes: int = 2_048 * MIB
    free_disk: int = 64 * MIB
    keep_days: int = 30
    keep_bytes: int = 1_024 * MIB


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a portal needs to know. `kafka` holds librdkafka properties and may hold secrets: it is never shown.

    `outbox` is a folder on a local disk. `heartbeat` is the time between two manifests in seconds, `canary` that
    between two canaries (0 for none). `verdicts` keeps the verdicts that come back. `deliver=False` only writes the
    outbox; another process delivers it.
    """

    agency: str
    portal: str
    bootstrap: str
    registry_url: str
    outbox: Path
    bounds: Bounds = field(default_factory=Bounds)
    heartbeat: float = 60.0
    canary: float = 300.0
    verdicts: bool = False
    deliver: bool = True
    flush_at_exit: float = 3.0
    kafka: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not AGENCY_CODE.fullmatch(self.agency):
            raise ValueError(f"agency {self.agency!r} is no agency code of Decision 20/2020/QĐ-TTg; an example is H26")
        if not PORTAL_ID.fullmatch(self.portal):
            raise ValueError(f"portal {self.portal!r} must be 1 to 64 of a-z, 0-9, '.', '_' and '-'; an example is www")
        if self.canary < 0:
            raise ValueError(f"canary {self.canary} is the time between two canaries in seconds, or 0 for none")
        if self.deliver and not (self.bootstrap and self.registry_url):
            raise ValueError("bootstrap and registry_url are needed to deliver; give them, or deliver=False")

    @property
    def source(self) -> str:
        """Agency and portal: `H26/www`."""
        return f"{self.agency}/{self.portal}"

    @property
    def heartbeat_s(self) -> int:
        """What a manifest promises: the next one within so many seconds."""
        return max(ceil(self.heartbeat), 1)

    @property
    def canary_s(self) -> int:
        """What a manifest promises of canaries, in seconds; 0 for none."""
        return ceil(self.canary)


def settings_from_env(environ: Mapping[str, str] | None = None, given: Mapping[str, Any] = NOTHING) -> dict[str, Any]:
    """The arguments of `Portal` found in the environment.

    Reads PORTALBUS_AGENCY, _PORTAL, _BOOTSTRAP, _REGISTRY, _OUTBOX, _KEEP_DAYS, _KEEP_BYTES, _HEARTBEAT, _CANARY,
    _VERDICTS, and librdkafka properties as PORTALBUS_KAFKA_SECURITY_PROTOCOL and so on. What is `given` otherwise need
    not be there. Raises ValueError naming what is missing or no number.
    """
    env = os.environ if environ is None else environ
    missing = [name for argument, name in NEEDED.items() if argument not in given and not env.get(PREFIX + name)]
    if missing:
        raise ValueError("set " + ", ".join(PREFIX + name for name in missing) + " in the environment")
    found: dict[str, Any] = {
        **{argument: env[PREFIX + name] for argument, name in NEEDED.items() if env.get(PREFIX + name)},
        "kafka": kafka_from_env(env),
    }
    if "outbox" in found:
        found["outbox"] = Path(found["outbox"])
    if env.get("PORTALBUS_PORTAL"):
        found["portal"] = env["PORTALBUS_PORTAL"]
    kept = {argument: _whole(env, name) for argument, name in KEPT.items() if env.get(PREFIX + name)}
    if kept:
        found["bounds"] = Bounds(**kept)
    if env.get("PORTALBUS_HEARTBEAT"):
        found["heartbeat"] = float(env["PORTALBUS_HEARTBEAT"])
    if env.get("PORTALBUS_CANARY"):
        found["canary"] = float(env["PORTALBUS_CANARY"])
    if env.get("PORTALBUS_VERDICTS"):
        found["verdicts"] = env["PORTALBUS_VERDICTS"].lower() in ("1", "true", "yes", "on")
    return found


def _whole(env: Mapping[str, str], name: str) -> int:
    """A number of days or bytes. Raises ValueError that names the variable."""
    said = env[PREFIX + name].strip()
    if not (said.isascii() and said.isdigit()):
        raise ValueError(f"{PREFIX + name} {said!r} is no whole number of 0 or more")
    return int(said)
