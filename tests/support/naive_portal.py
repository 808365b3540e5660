"""A portal as it is written in an afternoon: it posts, and hopes. With the driver of the conformance kit.

python naive_portal.py PORT
"""

from __future__ import annotations

import json
import sys
import threading
import unicodedata
import uuid
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 2


class NaivePortal:
    """Makes a new id for each attempt, tries again after a broken connection alone, keeps nothing on disk.

    Every answer of the bus is fine by it. Its text goes out as its Macintosh wrote it, markup escaped for the web.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[str, str, Any]] = []
        self._lock = threading.Lock()
        self._where: dict[str, str] = {}

    def take(self, step: dict[str, Any]) -> dict[str, Any] | None:
        """The answer to a step; None for what this portal does not have."""
        if step["do"] == "connect":
            self._where = step
            return {"name": "naïve", "technology": "Python, http.client"}
        if step["do"] == "publish":
            event = step["agency"], step["type"], _escaped(step["data"])
            if not self._send(*event):
                with self._lock:
                    self._waiting.append(event)
            return {"state": "sent"}
        if step["do"] == "deliver":
            with self._lock:
                self._waiting = [event for event in self._waiting if not self._send(*event)]
                return {"waiting": len(self._waiting)}
        return None

    def _send(self, agency: str, event_type: str, data: Any) -> bool:
        event = {
            "specversion": "1.0",
            "id": str(uuid.uuid4()),
            "source": f"/{agency}/{self._where['portal']}",
            "type": event_type,
            "data": data,
        }
        body = unicodedata.normalize("NFD", json.dumps(event, ensure_ascii=False)).encode()
        address = urlsplit(self._where["gateway"])
        headers = {
            "Content-Type": "application/cloudevents+json",
            "Authorization": f"Bearer {self._where['api_key']}",
        }
        connection = HTTPConnection(address.hostname or "", address.port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request("POST", "/v1/events", body, headers)
            connection.getresponse().read()
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()
        return True


def _escaped(data: dict[str, Any]) -> dict[str, Any]:
    return {name: value.replace("<", "&lt;") if isinstance(value, str) else value for name, value in data.items()}


def serve(port: int, portal: NaivePortal) -> None:
    """Takes steps until it is killed."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer = portal.take(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            text = json.dumps(answer).encode()
            self.send_response(501 if answer is None else 200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]), NaivePortal())
