"""A driver for a portal that uses the SDK: what `portalbus conformance --sdk` examines, and an example to copy.

    python -m portalbus.connectors.conformance.sdk_driver PORT FOLDER

It does what a portal does: it names each change, publishes it under an id made of that name, and leaves the rest to
the outbox in FOLDER.
"""

from __future__ import annotations

import json
import sys
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from portalbus.producers import EventRefused, Portal

NAMESPACE = uuid.UUID("6f1b1e9a-6a0c-5d0c-9a40-0d1f0c5b7a11")
"""Makes event ids of this portal's own names for things; the same name gives the same id."""


class Driver:
    """Takes the steps of a scenario."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._portal: Portal | None = None

    def take(self, step: dict[str, Any]) -> dict[str, Any] | None:
        """The answer to a step; None for one that this portal does not offer."""
        kind = step.get("do")
        if kind == "connect":
            return self._connect(step)
        if kind == "publish":
            return self._publish(step)
        if kind == "deliver":  # the SDK delivers by itself
            return {"waiting": self.portal.status().undelivered}
        if kind == "report":  # what the SDK has taken in is delivered; what it refuses, it refuses at once
            return {"state": "kept"}
        return None

    @property
    def portal(self) -> Portal:
        """The portal, once it is connected."""
        if self._portal is None:
            raise RuntimeError("the first step is `connect`")
        return self._portal

    def _connect(self, step: dict[str, Any]) -> dict[str, Any]:
        if self._portal is None:
            self._portal = Portal(
                step["agency"],
                step["portal"],
                bootstrap=step["bootstrap"],
                registry_url=step["registry"],
                outbox=self._folder,
                canary=0,
                kafka={"socket.timeout.ms": "5000"},
            ).start()
        return {"name": "portalbus SDK", "technology": f"Python {sys.version.split()[0]}"}

    def _publish(self, step: dict[str, Any]) -> dict[str, Any]:
        event = {
            "specversion": "1.0",
            "id": str(uuid.uuid5(NAMESPACE, step["reference"])),
            "source": f"/{step['agency']}/{self.portal.settings.portal}",
            "type": step["type"],
            "data": step["data"],
        }
        if "correlation" in step:
            event["correlationid"] = step["correlation"]
        try:
            self.portal.publish_cloudevent(event)
        except EventRefused as refused:
            first = refused.findings[0]
            return {"state": "refused", "rule": first.rule, "path": first.path}
        return {"state": "kept", "id": event["id"]}


def main(port: int, folder: Path) -> None:
    """Listens on a port of this machine until it is killed."""
    driver = Driver(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = driver.take(json.loads(body))
            text = json.dumps(answer, ensure_ascii=False).encode()
            self.send_response(200 if answer is not None else 501)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
