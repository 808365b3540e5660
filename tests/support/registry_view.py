"""A way to the real registry that shows subjects of its own, as empty as those of a new one, and that can be cut."""

from __future__ import annotations

import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from portalbus.schemas import avro_files
from portalbus.schemas.avro_files import NAMESPACE, AvroFile
from portalbus.schemas.registry import CONTENT_TYPE, SchemaRegistry


class RegistryView:
    """Passes each call on with another name for its subject, so that a test need not share what is registered.

    `url` is where the processes of the test look; `cut` and `mend` are the network.
    """

    def __init__(self, registry_url: str) -> None:
        self._prefix = f"{secrets.token_hex(4)}."
        self._real = SchemaRegistry(registry_url)
        self._server: ThreadingHTTPServer | None = None
        self._port = 0
        self.mend()
        self.url = f"http://127.0.0.1:{self._port}{urlsplit(registry_url).path}"

    def register(self, file: AvroFile) -> int:
        """Registers a version, also while the way is cut; returns its id."""
        return self._real.register(self._prefix + file.subject, json.dumps(file.raw))

    def register_all_but(self, name: str, version: int) -> None:
        """Registers every committed version but one."""
        for file in (file for every in avro_files.ALL_TYPES for file in avro_files.history(every)):
            if (file.name, file.version) != (name, version):
                self.register(file)

    def mend(self) -> None:
        """Opens the way."""
        origin, prefix = urlsplit(self._real.url)._replace(path="").geturl(), self._prefix

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._pass_on()

            def do_POST(self) -> None:
                self._pass_on()

            def do_PUT(self) -> None:
                self._pass_on()

            def _pass_on(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                path = self.path.replace(f"/{NAMESPACE}.", f"/{prefix}{NAMESPACE}.")
                body = self.rfile.read(length) if length else None
                headers = {"Content-Type": CONTENT_TYPE, "Accept": CONTENT_TYPE}
                request = Request(origin + path, body, headers, method=self.command)
                try:
                    with urlopen(request, timeout=30) as found:
                        status, answer = found.status, found.read()
                except HTTPError as error:
                    status, answer = error.code, error.read()
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def cut(self) -> None:
        """Nobody answers any more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
