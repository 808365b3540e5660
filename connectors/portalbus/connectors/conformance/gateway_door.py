"""The receiving end for portals that speak HTTP: our own gateway, behind a line that can be disturbed."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvicorn

from portalbus.connectors.conformance.door import Request
from portalbus.connectors.conformance.http_line import HOST, HttpLine
from portalbus.connectors.conformance.lane_view import Arrived, LaneView
from portalbus.connectors.conformance.scenario import Disturb, Disturbance
from portalbus.connectors.gateway.app import create_app
from portalbus.connectors.gateway.database import KEYS, open_database
from portalbus.connectors.gateway.keys import add_key
from portalbus.connectors.gateway.patient_protocol import patient_protocol
from portalbus.connectors.gateway.settings import Settings
from portalbus.producers.testing import InProcessBus

START_SECONDS = 20.0
EVENTS_PER_SECOND = 1_000.0
"""So much that a portal is asked for patience only where the scenario wants it."""


class GatewayDoor:
    """The gateway, with a key for the portal under test, in front of a bus in this process."""

    name = "gateway"
    disturbances: frozenset[Disturbance] = frozenset({"outage", "hang", "lose-answers", "answer"})

    def __init__(self, agency: str) -> None:
        self._folder = TemporaryDirectory(prefix="portalbus-conformance-gateway-")
        self._bus = InProcessBus()
        self._bus.open_lane(agency)
        self._lane = LaneView(self._bus.bootstrap, self._bus.registry_url, agency)
        state = Path(self._folder.name)
        settings = Settings(
            bootstrap=self._bus.bootstrap,
            registry_url=self._bus.registry_url,
            state=state,
            canary_s=0,
            events_per_second=EVENTS_PER_SECOND,
        )
        self._key = _new_key(settings, agency)
        self._server = uvicorn.Server(
            uvicorn.Config(
                create_app(settings),
                host=HOST,
                port=0,
                http=patient_protocol(settings.head_s),
                ws="none",
                access_log=False,
                log_config=None,
                lifespan="on",
            )
        )
        self._thread = threading.Thread(target=self._server.run, name="conformance-gateway", daemon=True)
        self._thread.start()
        self._line = HttpLine(_port_of(self._server))

    def settings(self, agency: str, portal: str) -> dict[str, Any]:
        """Where the gateway is, and the key for it."""
        return {"agency": agency, "portal": portal, "gateway": f"http://{HOST}:{self._line.port}", "api_key": self._key}

    def disturb(self, disturbance: Disturb) -> None:
        """Disturbs the line to the gateway."""
        self._line.disturb(disturbance)

    def heal(self) -> None:
        """Lets everything through again."""
        self._line.heal()

    def taken(self) -> list[Arrived]:
        """What stands on the agency's lane."""
        return self._lane.look()

    def requests(self) -> Sequence[Request]:
        """What the portal asked so far."""
        return self._line.requests()

    def close(self) -> None:
        """Ends line, gateway, broker and registry."""
        self._line.close()
        self._server.should_exit = True
        self._thread.join(START_SECONDS)
        self._lane.close()
        self._bus.close()
        self._folder.cleanup()


def _new_key(settings: Settings, agency: str) -> str:
    connection = open_database(settings.keys, KEYS)
    try:
        return add_key(connection, agency)
    finally:
        connection.close()


def _port_of(server: uvicorn.Server) -> int:
    """The port that the system gave the server, once it listens. Raises TimeoutError."""
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the gateway does not listen within {START_SECONDS:g} s")
        time.sleep(0.02)
    port: int = server.servers[0].sockets[0].getsockname()[1]
    return port
