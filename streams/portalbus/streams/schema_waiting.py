"""Waiting for the ids of the contracts, at start-up: for a registry that is away and not remembered."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import structlog

from portalbus.schemas.errors import RegistryUnavailable
from portalbus.schemas.registration import SchemaIds
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
