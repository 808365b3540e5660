"""A receiver of webhooks for tests: a real HTTP server that checks signatures, keeps a log, and fails as told."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = int | tuple[int, dict[str, str]] | None
"""A status, a status with headers, or None: close the connection without a word."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One request as it came; `taken` when it was answered with 2xx."""

    webhook_id: str
    key: str
    position: int
    event: dict[str, Any]
    taken: bool
    at: float


@dataclass
class Receiver:
    """Listens on a port of its own. `answer` decides on each event; `secret` is checked when there is one."""

    answer: Callable[[dict[str, Any]], Answer] = lambda event: 204
    secret: str = ""
    heard: list[Heard] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Receiver:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                reply = receiver.take(dict(self.headers), body)
                if reply is None:
                    self.close_connection = True
                    return
                status, headers = reply if isinstance(reply, tuple) else (reply, {})
                self.send_response(status)
                for name, value in {"Content-Length": "0", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A sender that was killed hangs up."""

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def take(self, headers: dict[str, str], body: bytes) -> Answer:
        """Checks and notes a request, and answers as told."""
        event = json.loads(body)
        if self.secret and not verified(self.secret, headers, body):
            self.problems.append(f"wrong signature of {headers.get('webhook-id')}")
        if headers["webhook-id"] != event["id"]:
            self.problems.append(f"{headers['webhook-id']} holds the event {event['id']}")
        reply = self.answer(event)
        status = reply[0] if isinstance(reply, tuple) else reply
        taken = status is not None and 200 <= status < 300
        heard = Heard(event["id"], event.get("subject", ""), int(event["position"]), event, taken, time.monotonic())
        with self.lock:
            self.heard.append(heard)
        return reply

    def taken(self) -> list[Heard]:
        """What it has taken, in the order in which it came, repeats left out."""
        with self.lock:
            first: dict[str, Heard] = {}
            for one in self.heard:
                if one.taken:
                    first.setdefault(one.webhook_id, one)
            return list(first.values())

    def positions_by_key(self) -> dict[str, list[int]]:
        """The positions of what it has taken, by directive or case, first occurrences in the order of coming."""
        found: dict[str, list[int]] = {}
        for one in self.taken():
            found.setdefault(one.key, []).append(one.position)
        return found


def verified(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """The receiver's check, written from the standard alone."""
    named = {name.lower(): value for name, value in headers.items()}
    signed = f"{named['webhook-id']}.{named['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    wanted = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    is_fresh = abs(time.time() - int(named["webhook-timestamp"])) < 300
    return is_fresh and any(hmac.compare_digest(wanted, one) for one in named["webhook-signature"].split())
