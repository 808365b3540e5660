"""Puts the kit together: a portal, a door in front of it, and one run."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory

from portalbus.connectors.conformance.door import Door
from portalbus.connectors.conformance.driven_portal import DrivenPortal
from portalbus.connectors.conformance.examination import new_run_name
from portalbus.connectors.conformance.kafka_door import KafkaDoor
from portalbus.connectors.conformance.running import Run

DOORS = ("gateway", "kafka")
SDK_DRIVER = "portalbus.connectors.conformance.sdk_driver"


@contextmanager
def sdk_run(agency: str, patience: float) -> Iterator[Run]:
    """A run on our own SDK, in a process of its own that can be killed."""
    with TemporaryDirectory(prefix="portalbus-conformance-") as folder:
        port = free_port()
        command = f"{quote(sys.executable)} -m {SDK_DRIVER} {port} {quote(str(Path(folder) / 'outbox'))}"
        with portal_run(f"http://127.0.0.1:{port}/", command, "kafka", agency, patience) as run:
            yield run


@contextmanager
def portal_run(target: str, command: str | None, door_name: str, agency: str, patience: float) -> Iterator[Run]:
    """A run on the portal whose driver listens at `target`; `command` starts it. Raises DriverFailed."""
    portal = DrivenPortal(target, command)
    with open_door(door_name, agency) as door:
        try:
            portal.start()
            yield Run(portal, door, new_run_name(), agency=agency, patience=patience)
        finally:
            portal.close()


@contextmanager
def open_door(name: str, agency: str) -> Iterator[Door]:
    """The receiving end with this name, closed at the end."""
    with closing(_door(name, agency)) as door:
        yield door


def _door(name: str, agency: str) -> Door:
    if name == KafkaDoor.name:
        return KafkaDoor(agency)
    # The gateway brings a web server with it; who examines the SDK needs none.
    from portalbus.connectors.conformance.gateway_door import GatewayDoor

    return GatewayDoor(agency)


def free_port() -> int:
    """A port of this machine on which nobody listens at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port
