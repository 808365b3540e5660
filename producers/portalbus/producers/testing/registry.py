"""A schema registry inside the process: it knows the contracts that this SDK brings, and nothing else."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from portalbus.schemas import avro_files
from portalbus.schemas.registry import CONTENT_TYPE


class InProcessRegistry:
    """Speaks the part of Confluent's API that the SDK uses, on a port of its own; ids begin at 1."""

    def __init__(self) -> None:
        files = [file for name in avro_files.ALL_TYPES for file in avro_files.history(name)]
        self.schemas = {number: file.raw for number, file in enumerate(files, 1)}
        self.ids = {file.name: number for number, file in enumerate(files, 1)}
        self._by_subject = {
            (file.subject, json.dumps(file.raw, sort_keys=True)): number for number, file in enumerate(files, 1)
        }
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="portalbus-test-registry", daemon=True).start()

    @property
    def url(self) -> str:
        """Its base address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stops answering; a second time does nothing."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, body: dict[str, Any] | None) -> tuple[int, object]:
        """Status and document for a request."""
        parts = unquote(path).strip("/").split("/")
        if parts[:2] == ["schemas", "ids"] and parts[2:] and parts[2].isdigit():
            schema = self.schemas.get(int(parts[2]))
            return (200, {"schema": json.dumps(schema)}) if schema else _refusal(40403, "schema not found")
        if parts == ["subjects"]:
            return 200, sorted({subject for subject, _ in self._by_subject})
        if parts[0] == "subjects" and len(parts) > 1 and body is not None:
            try:
                asked = json.dumps(json.loads(body["schema"]), sort_keys=True)
            except (KeyError, TypeError, ValueError):
                return 422, {"error_code": 42201, "message": "the request holds no Avro schema"}
            number = self._by_subject.get((parts[1], asked))
            return (200, {"id": number}) if number else _refusal(40403, "this schema is none of the contracts")
        return _refusal(40401, "subject not found")


def _refusal(code: int, message: str) -> tuple[int, object]:
    return 404, {"error_code": code, "message": message}


def _handler_of(registry: InProcessRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(*registry.answer(self.path.partition("?")[0], None))

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            try:
                body = json.loads(self.rfile.read(length))
            except ValueError:
                body = {}
            self._say(*registry.answer(self.path.partition("?")[0], body if isinstance(body, dict) else {}))

        def _say(self, status: int, document: object) -> None:
            text = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
