"""The HTTP gateway as a process of its own, for tests: started, killed, started again on the same port and folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from central_process import free_port
from portal_events import directive, feedback
from portalbus.connectors.gateway.database import KEYS, open_database
from portalbus.connectors.gateway.keys import add_key, revoke_key
from portalbus.infra.stack import Endpoints
from portalbus.producers import new_event_id
from portalbus.schemas.models import Payload

PATIENCE_S = 30
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"


class GatewayProcess:
    """A gateway over a bus, with a state folder of its own."""

    def __init__(
        self, endpoints: Endpoints, folder: Path, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.state = folder / "gateway"
        self.log = folder / "gateway.log"
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._endpoints = endpoints
        self._arguments = arguments
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def start(self, *, ready: bool = True) -> GatewayProcess:
        """Starts it, and waits until it can take events."""
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "portalbus.connectors.gateway", "--port", str(self.port), *self._arguments],
                env={
                    **os.environ,
                    "PORTALBUS_BOOTSTRAP": self._endpoints.bootstrap,
                    "PORTALBUS_REGISTRY": self._endpoints.registry_url,
                    "PORTALBUS_GATEWAY_STATE": str(self.state),
                    **self._environment,
                },
                stdout=out,
                stderr=out,
            )
        self.wait_until("/readyz" if ready else "/healthz")
        return self

    def wait_until(self, path: str, status: int = 200) -> None:
        """Waits until it answers `path` with `status`."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            assert self._process is not None
            assert self._process.poll() is None, self.log.read_text()
            try:
                if httpx2.get(f"{self.address}{path}", timeout=5).status_code == status:
                    return
            except httpx2.TransportError:
                pass
            time.sleep(0.02)
        pytest.fail(f"{path} did not answer {status} within {PATIENCE_S} s: {self.log.read_text()}")

    def kill(self) -> None:
        """Ends it as a power cut would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """Ends it in an orderly way; returns its status."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=PATIENCE_S)

    def revoke(self, key: str) -> None:
        """Takes a key out of use."""
        connection = open_database(self.state / "keys.sqlite", KEYS)
        try:
            assert revoke_key(connection, key.split("_")[1])
        finally:
            connection.close()

    def key(self, agency: str = "H26", portal: str | None = "www", rate: float | None = 100_000) -> str:
        """A new API key."""
        connection = open_database(self.state / "keys.sqlite", KEYS)
        try:
            return add_key(connection, agency, portal, events_per_second=rate)
        finally:
            connection.close()

    def client(self, key: str | None = None, language: str = "en") -> httpx2.Client:
        """A client that comes with a key."""
        headers = {"Accept-Language": language, **({"Authorization": f"Bearer {key}"} if key else {})}
        return httpx2.Client(base_url=self.address, headers=headers, timeout=40)

    def said(self, event: str) -> list[dict[str, Any]]:
        """The log lines with this event name."""
        lines = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in map(json.loads, lines) if line["event"] == event]


def cloud_event(payload: Payload, source: str = "/H26/www", **attributes: Any) -> dict[str, Any]:
    """A payload as a CloudEvent in JSON."""
    return {
        "specversion": "1.0",
        "id": new_event_id(),
        "source": source,
        "type": f"portalbus.events.{payload.event_type}",
        "data": payload.model_dump(mode="json"),
        **attributes,
    }


def post(client: httpx2.Client, event: Any, **headers: str) -> httpx2.Response:
    """Posts an event, or a list of events as a batch."""
    media = BATCH if isinstance(event, list) else STRUCTURED
    content = json.dumps(event, ensure_ascii=False).encode()
    return client.post("/v1/events", content=content, headers={"Content-Type": media, **headers})


__all__ = ["BATCH", "STRUCTURED", "GatewayProcess", "cloud_event", "directive", "feedback", "post"]
