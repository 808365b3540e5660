"""The website of a portal that is read: an RSS feed, and a city's Open311 service (GeoReport v2), on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

from portalbus.infra.demo.day import OPENS, VIETNAM
from portalbus.schemas.models import DirectivePublished, FeedbackReceived, FeedbackResolved

RSS = "/rss"
OPEN311 = "/open311/v2"


class LocalSite:
    """Serves what was put up, on a free port of the loopback address, while the context lasts."""

    def __init__(self) -> None:
        self._news: dict[str, DirectivePublished] = {}
        self._requests: dict[str, dict[str, str]] = {}
        self._lock = threading.Lock()
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status, media_type, body = site._answer(self.path)
                self.send_response(status)
                self.send_header("Content-Type", media_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="demo-site", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def publish(self, document: DirectivePublished) -> None:
        """Puts a news item into the feed, or a new version in its place."""
        with self._lock:
            self._news[document.directive_id] = document

    def receive(self, said: FeedbackReceived) -> None:
        """A citizen makes a request."""
        moment = _w3c(said.received_at)
        request = {
            "service_request_id": said.case_id,
            "public_code": said.public_code,
            "status": "open",
            "service_name": said.subject,
            "description": said.content,
            "requested_datetime": moment,
            "updated_datetime": moment,
        }
        with self._lock:
            self._requests[said.case_id] = request

    def close_request(self, answer: FeedbackResolved) -> None:
        """The city closes a request with a note."""
        said = {
            "status": "closed",
            "status_notes": answer.answer or "",
            "updated_datetime": _w3c(answer.answered_at),
        }
        with self._lock:
            self._requests[answer.case_id] = {**self._requests[answer.case_id], **said}

    def _answer(self, path: str) -> tuple[int, str, bytes]:
        parts = urlsplit(path)
        with self._lock:
            if parts.path == RSS:
                return 200, "application/rss+xml; charset=utf-8", _rss(self._news.values()).encode()
            if parts.path == f"{OPEN311}/requests.json":
                found = _chosen(self._requests, parse_qs(parts.query))
                return 200, "application/json; charset=utf-8", json.dumps(found, ensure_ascii=False).encode()
        return 404, "text/plain", b"not here"


def _rss(news: Iterable[DirectivePublished]) -> str:
    items = "".join(map(_item, news))
    return (
        '<?xml version="1.0" encoding="utf-8"?><rss version="2.0"><channel><title>Tin tức</title>'
        "<link>https://example.gov.vn</link><description>Tin tức</description><language>vi</language>"
        f"{items}</channel></rss>"
    )


def _item(document: DirectivePublished) -> str:
    published = datetime.combine(document.issued_on, OPENS, VIETNAM).strftime("%a, %d %b %Y %H:%M:%S +0700")
    return (
        f'<item><guid isPermaLink="false">{escape(document.directive_id)}</guid><title>{escape(document.title)}</title>'
        f"<link>{escape(document.canonical_url)}</link><pubDate>{published}</pubDate>"
        f"<description>{escape(document.body)}</description></item>"
    )


def _chosen(requests: dict[str, dict[str, str]], query: dict[str, list[str]]) -> list[dict[str, str]]:
    """The requests with these ids, or those made between two times."""
    if "service_request_id" in query:
        return [requests[name] for name in query["service_request_id"][0].split(",") if name in requests]
    start, end = (datetime.fromisoformat(query[name][0]) for name in ("start_date", "end_date"))
    return [one for one in requests.values() if start <= datetime.fromisoformat(one["requested_datetime"]) <= end]


def _w3c(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
