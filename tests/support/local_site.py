"""A website for tests: a real HTTP server on this machine whose pages a test puts up, changes and takes down."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Behaviour = Callable[[BaseHTTPRequestHandler], None]
"""What a server does with a request instead of answering it well."""


@dataclass
class Page:
    """One page: what it answers with."""

    content: bytes = b""
    media_type: str = "text/html; charset=utf-8"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    behaviour: Behaviour | None = None
    conditional: bool = True


class LocalSite:
    """Pages by path; `asked` holds each request's path and headers. Pages answer conditional requests by ETag."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site._answer(self)

            def log_message(self, *arguments: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # readers that hang up are what some tests are about

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def put(self, path: str, content: str | bytes, media_type: str = "text/html; charset=utf-8", **more: Any) -> str:
        """Puts a page up; returns its address."""
        data = content.encode() if isinstance(content, str) else content
        self.pages[path] = Page(data, media_type, **more)
        return self.url + path

    def misbehave(self, path: str, behaviour: Behaviour) -> str:
        """Lets a path do something else than answer; returns its address."""
        self.pages[path] = Page(behaviour=behaviour)
        return self.url + path

    def paths(self) -> list[str]:
        """The paths that were asked for, without robots.txt."""
        return [path for path, _ in self.asked if path != "/robots.txt"]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append((request.path, {name.lower(): value for name, value in request.headers.items()}))
        page = self.pages.get(request.path) or self.pages.get(request.path.partition("?")[0])
        if page is None:
            page = Page(b"not here", status=404)
        if page.behaviour is not None:
            page.behaviour(request)
            return
        etag = f'"{sha256(page.content).hexdigest()[:16]}"'
        unchanged = page.conditional and page.status == 200 and request.headers.get("if-none-match") == etag
        request.send_response(304 if unchanged else page.status)
        if page.conditional and page.status == 200:
            request.send_header("ETag", etag)
        for name, value in page.headers.items():
            request.send_header(name, value)
        body = b"" if unchanged else page.content
        if not unchanged:
            request.send_header("Content-Type", page.media_type)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)


def rss(items: list[dict[str, str]], language: str = "vi") -> str:
    """An RSS feed of items with guid, link, title, description and pubDate."""
    lines = [
        "<item>" + "".join(f"<{name}>{value}</{name}>" for name, value in item.items()) + "</item>" for item in items
    ]
    return (
        '<?xml version="1.0" encoding="utf-8"?><rss version="2.0"><channel><title>Cổng thông tin</title>'
        f"<link>https://hanoi.gov.vn</link><description>Tin</description><language>{language}</language>"
        f"{''.join(lines)}</channel></rss>"
    )


def notice(site: LocalSite, number: int, text: str = "", **changed: str) -> dict[str, str]:
    """One item of a feed of this site."""
    return {
        "guid": f"tin-{number}",
        "link": f"{site.url}/tin/{number}",
        "title": f"Thông báo số {number} về phòng chống bão",
        "description": text or f"Các xã, phường rà soát nhà yếu trước ngày {number % 28 + 1}/12/2026.",
        "pubDate": f"Fri, {number % 28 + 1:02d} Oct 2026 08:00:00 +0700",
        **changed,
    }
