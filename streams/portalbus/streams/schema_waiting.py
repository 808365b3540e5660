"""Learning the ids of the contracts: waiting for them at start, and asking later for those that were lacking."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import structlog

from portalbus.schemas.errors import RegistryRefused, RegistryUnavailable
from portalbus.schemas.registration import LaneSchemas, SchemaIds
from portalbus.schemas.registry import SchemaRegistry
from portalbus.streams.settings import StreamSettings

log = structlog.get_logger(__name__)

T = TypeVar("T")
PAUSE_SECONDS = 1.0


def wait_for_schemas(settings: StreamSettings, ask: Callable[[SchemaIds], T], stop: threading.Event) -> T | None:
    """What `ask` learns from the registry, however long that takes; None when told to stop before."""
    ids = SchemaIds(SchemaRegistry(settings.registry_url), settings.cache)
    while not stop.is_set():
        try:
            return ask(ids)
        except RegistryUnavailable as error:
            log.warning("registry.away", error=str(error), retry_in_s=PAUSE_SECONDS)
            stop.wait(PAUSE_SECONDS)
    return None


def wait_for_lane_schemas(settings: StreamSettings, stop: threading.Event) -> LaneSchemas | None:
    """The schemas of the lanes; shipped versions that are not registered are named, and not waited for."""
    schemas = wait_for_schemas(settings, LaneSchemas, stop)
    if schemas is not None and schemas.missing:
        missing = [f"{file.name} {file.version}" for file in schemas.missing]
        log.warning("schemas.unregistered", versions=missing, mend="portalbus schemas register")
    return schemas


def look_for_schemas(schemas: LaneSchemas) -> None:
    """Learns what of the missing versions is registered now; a registry that is away is asked the next time."""
    try:
        for file in schemas.look():
            log.info("schemas.learned", record=file.name, version=file.version)
    except (RegistryUnavailable, RegistryRefused) as error:
        log.warning("schemas.not-learned", error=str(error))
