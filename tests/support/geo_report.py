"""A city's GeoReport v2 service on a local site: service requests that a test makes, closes and loses."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit
from xml.etree.ElementTree import Element, SubElement, tostring

from local_site import LocalSite

BASE = "/open311/v2"
LONGEST = timedelta(days=90)


@dataclass
class GeoReport:
    """GET Service Requests of https://wiki.open311.org/GeoReport_v2/: by id, or by time, the first 1,000 of them.

    `asked` holds each query. `jurisdiction` must be named when it is set. There are servers that overlook
    ids (`knows_ids`) or times (`knows_times`).
    """

    site: LocalSite
    limit: int = 1_000
    jurisdiction: str = ""
    knows_ids: bool = True
    knows_times: bool = True
    requests: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for form in ("json", "xml"):
            self.site.misbehave(f"{BASE}/requests.{form}", self._answer)

    @property
    def address(self) -> str:
        """The base of the API."""
        return self.site.url + BASE

    def make(self, number: int, at: datetime, description: str = "Đèn đường hỏng ba tuần.", **more: str) -> str:
        """A citizen makes a request; returns its id."""
        name = f"{number}-2026"
        self.requests[name] = {
            "service_request_id": name,
            "status": "open",
            "status_notes": "",
            "service_name": "Chiếu sáng công cộng",
            "service_code": "CS-01",
            "description": description,
            "agency_responsible": "Sở Xây dựng",
            "requested_datetime": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "updated_datetime": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "address": "Số 1 phố Bất kỳ",
            "lat": "21.0",
            "long": "105.8",
            **more,
        }
        return name

    def close(self, name: str, at: datetime, notes: str = "Đèn đã được thay ngày 22/11/2026.") -> None:
        """The city closes a request."""
        said = {"status": "closed", "status_notes": notes, "updated_datetime": at.strftime("%Y-%m-%dT%H:%M:%SZ")}
        self.requests[name] |= said

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.asked.append(query)
        form = parts.path.rpartition(".")[2]
        status, found = self._found(query)
        body = _json(found, status) if form == "json" else _xml(found, status)
        media_type = "application/json" if form == "json" else "text/xml"
        head = (
            f"HTTP/1.1 {status} x\r\nContent-Type: {media_type}; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        handler.wfile.write(head.encode() + body)  # at once: two small packets wait for each other

    def _found(self, query: dict[str, str]) -> tuple[int, list[dict[str, str]]]:
        if self.jurisdiction and query.get("jurisdiction_id") != self.jurisdiction:
            return 404, [{"code": "404", "description": "jurisdiction_id provided was not found"}]
        if "service_request_id" in query and self.knows_ids:
            wanted = query["service_request_id"].split(",")
            return 200, [self.requests[name] for name in wanted if name in self.requests]
        start = datetime.fromisoformat(query["start_date"])
        end = datetime.fromisoformat(query["end_date"])
        if end - start > LONGEST + timedelta(seconds=1):
            return 400, [{"code": "400", "description": "a query may span 90 days"}]
        found = [
            request
            for request in self.requests.values()
            if not self.knows_times or start <= datetime.fromisoformat(request["requested_datetime"]) <= end
        ]
        found.sort(key=lambda request: request["requested_datetime"], reverse=True)
        return 200, found[: self.limit]


def _json(found: list[dict[str, str]], status: int) -> bytes:
    return json.dumps(found, ensure_ascii=False).encode()


def _xml(found: list[dict[str, str]], status: int) -> bytes:
    root = Element("service_requests" if status == 200 else "errors")
    for request in found:
        element = SubElement(root, "request" if status == 200 else "error")
        for name, value in request.items():
            SubElement(element, name).text = value
    return bytes(tostring(root, encoding="utf-8", xml_declaration=True))
