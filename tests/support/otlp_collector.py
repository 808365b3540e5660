"""A collector of OpenTelemetry spans: takes OTLP over HTTP (protobuf) and keeps what came."""

from __future__ import annotations

import gzip
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class SentSpan:
    """One span, ids as hexadecimal digits, with the name of the service that sent it."""

    service: str
    name: str
    trace: str
    span: str
    parent: str
    links: tuple[str, ...]
    attributes: dict[str, Any]
    began_ns: int
    ended_ns: int


class OtlpCollector:
    """Listens on a port of its own for as long as it is used in a `with`."""

    def __init__(self) -> None:
        self._spans: list[SentSpan] = []
        self._bodies: list[bytes] = []
        self._lock = threading.Lock()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.keep(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Tests are quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def environment(self) -> dict[str, str]:
        """What tells a process to send its spans here, soon."""
        address = f"http://127.0.0.1:{self._server.server_port}"
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_BSP_SCHEDULE_DELAY": "100"}

    def keep(self, body: bytes) -> None:
        """Reads one request."""
        request = ExportTraceServiceRequest.FromString(body)
        found = []
        for resource in request.resource_spans:
            about = {one.key: one.value.string_value for one in resource.resource.attributes}
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                given = {one.key: one.value.string_value or one.value.int_value for one in span.attributes}
                ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
                links = tuple(link.trace_id.hex() for link in span.links)
                times = span.start_time_unix_nano, span.end_time_unix_nano
                found.append(SentSpan(about["service.name"], span.name, *ids, links, given, *times))
        with self._lock:
            self._spans += found
            self._bodies.append(body)

    def spans(self, trace: str) -> list[SentSpan]:
        """What came of one trace."""
        with self._lock:
            return [span for span in self._spans if span.trace == trace]

    def raw(self) -> bytes:
        """All requests as they came, to look for what must not be there."""
        with self._lock:
            return b"\n".join(self._bodies)

    def services(self) -> set[str]:
        """Who has sent anything."""
        with self._lock:
            return {span.service for span in self._spans}

    def everything(self) -> str:
        """All that came, to look for what must not be there."""
        with self._lock:
            return repr(self._spans)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
