"""The central portal as a process of its own, for tests."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

PATIENCE_S = 30


class CentralProcess:
    """The central portal as a process of its own."""

    def __init__(self, database_url: str, log: Path, *arguments: str) -> None:
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        self.log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "portalbus.connectors.central", "--port", str(port), *arguments],
                env={**os.environ, "PORTALBUS_DATABASE": database_url},
                stdout=out,
                stderr=out,
            )
        self.pid = self._process.pid

    def wait_until(self, path: str = "/readyz", status: int = 200) -> None:
        """Waits until the portal answers `path` with `status`."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self.log.read_text()
            try:
                if httpx2.get(f"{self.address}{path}", timeout=5).status_code == status:
                    return
            except httpx2.TransportError:
                pass
            time.sleep(0.05)
        pytest.fail(f"{path} did not answer {status} within {PATIENCE_S} s: {self.log.read_text()}")

    def stop(self) -> int:
        """Ends it in an orderly way; returns its status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=PATIENCE_S)


def free_port() -> int:
    """A port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
