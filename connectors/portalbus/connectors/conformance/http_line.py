"""A line between a portal and the HTTP gateway that can be cut, go silent, lose answers, or answer by itself."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import unicodedata
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from portalbus.connectors.conformance.door import Request
from portalbus.connectors.conformance.scenario import Disturb

HOST = "127.0.0.1"
EVENTS = "/v1/events"
GATEWAY_SECONDS = 30.0
LONGEST_SILENCE = 60.0
MOST_BODY_BYTES = 16 * 2**20
NOT_PASSED_ON = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host", "te", "upgrade"})
PAGE = b"<html><head><title>%d</title></head><body><h1>%d</h1><hr>proxy</body></html>"


class Answer(NamedTuple):
    """One answer to the portal."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class HttpLine:
    """Listens on a port of this machine and passes requests on to a gateway on another one, unless it is disturbed."""

    def __init__(self, gateway_port: int) -> None:
        self.gateway_port = gateway_port
        self._disturbance: Disturb | None = None
        self._left = 0
        self._lock = threading.Lock()
        self._healed = threading.Event()
        self._requests: list[Request] = []
        self._server = ThreadingHTTPServer((HOST, 0), _handler_of(self))
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="conformance-line", daemon=True).start()

    def disturb(self, disturbance: Disturb) -> None:
        """Does so to the next requests with events, `times` of them; 0 for all until it is healed."""
        with self._lock:
            self._disturbance, self._left = disturbance, disturbance.times or -1
            self._healed.clear()

    def heal(self) -> None:
        """Passes everything on. What was met with silence is hung up."""
        with self._lock:
            self._disturbance = None
            self._healed.set()

    def disturbance(self) -> Disturb | None:
        """What to do to a request that comes now; counts it."""
        with self._lock:
            found = self._disturbance
            if found is not None and self._left > 0:
                self._left -= 1
                if not self._left:
                    self._disturbance = None
            return found

    def wait_until_healed(self) -> None:
        """Keeps silent."""
        self._healed.wait(LONGEST_SILENCE)

    def note(self, request: Request) -> None:
        """Writes a request down."""
        with self._lock:
            self._requests.append(request)

    def requests(self) -> Sequence[Request]:
        """All requests with events so far, by the time they came."""
        with self._lock:
            return list(self._requests)

    def close(self) -> None:
        """Stops listening."""
        self.heal()
        self._server.shutdown()
        self._server.server_close()


def _handler_of(line: HttpLine) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = LONGEST_SILENCE

        def do_GET(self) -> None:
            self._say(self._carry(b""))

        def do_POST(self) -> None:
            at, body = time.monotonic(), self._body()
            if self.path.partition("?")[0] != EVENTS:
                self._say(self._carry(body))
                return
            disturbance = line.disturbance()
            answer = self._treat(disturbance, body) if disturbance else self._carry(body)
            retry_after = disturbance.retry_after if disturbance and disturbance.how == "answer" else None
            ids, decomposed = _look_into(body, self.headers.get("ce-id"))
            line.note(Request(at, answer.status if answer else None, ids, retry_after, decomposed))
            self._say(answer)

        def _treat(self, disturbance: Disturb, body: bytes) -> Answer | None:
            """What a disturbed bus answers; None when it hangs up without a word."""
            self.close_connection = True
            if disturbance.how == "answer":
                headers = [("Content-Type", "text/html"), ("Connection", "close")]
                if disturbance.retry_after is not None:
                    headers.append(("Retry-After", str(disturbance.retry_after)))
                return Answer(disturbance.status, headers, PAGE % (disturbance.status, disturbance.status))
            if disturbance.how == "hang":
                line.wait_until_healed()
            elif disturbance.how == "lose-answers":
                self._carry(body)
            return None

        def _body(self) -> bytes:
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                return self.rfile.read(min(int(self.headers.get("Content-Length") or 0), MOST_BODY_BYTES))
            body = b""
            while (size := int(self.rfile.readline().partition(b";")[0], 16)) and len(body) < MOST_BODY_BYTES:
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _carry(self, body: bytes) -> Answer:
            """What the gateway answers."""
            connection = HTTPConnection(HOST, line.gateway_port, timeout=GATEWAY_SECONDS)
            try:
                headers = {name: value for name, value in self.headers.items() if name.lower() not in NOT_PASSED_ON}
                connection.request(self.command, self.path, body or None, headers)
                answer = connection.getresponse()
                kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in NOT_PASSED_ON]
                return Answer(answer.status, kept, answer.read())
            except (OSError, HTTPException):
                return Answer(502, [], PAGE % (502, 502))
            finally:
                connection.close()

        def _say(self, answer: Answer | None) -> None:
            if answer is None:
                return
            with contextlib.suppress(OSError):  # the portal has hung up
                self.send_response(answer.status)
                for name, value in answer.headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _look_into(body: bytes, ce_id: str | None) -> tuple[tuple[str, ...], bool]:
    """The ids of the events in a request, and whether one of its texts is not in the normal form NFC."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return (), False
    events = value if isinstance(value, list) else [value]
    ids = [ce_id] if ce_id else [event.get("id") for event in events if isinstance(event, dict)]
    return tuple(one for one in ids if isinstance(one, str)), not _is_composed(value)


def _is_composed(value: Any) -> bool:
    return unicodedata.is_normalized("NFC", json.dumps(value, ensure_ascii=False))
