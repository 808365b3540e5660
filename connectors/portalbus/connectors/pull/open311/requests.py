"""Asking a GeoReport v2 server for service requests, in JSON or XML.

The specification: https://wiki.open311.org/GeoReport_v2/ (GET Service Requests): times are W3C ones, a query spans at
most 90 days, an answer holds the first 1,000 requests, and several ids are divided by commas.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from portalbus.connectors.pull.kind import ReadFailed
from portalbus.connectors.pull.open311.settings import Open311Config
from portalbus.connectors.pull.web import encodings
from portalbus.connectors.pull.web.client import shown

if TYPE_CHECKING:
    from portalbus.connectors.pull.web.client import WebClient

ServiceRequest = Mapping[str, Any]
"""One request with the names of the specification; values are texts, numbers or nothing."""

MAX_SAID_CHARACTERS = 200


class RequestsApi:
    """The list of service requests of one server. Every method raises ReadFailed."""

    def __init__(self, config: Open311Config, client: WebClient, api_key: str) -> None:
        self._config = config
        self._client = client
        self._fixed = {"jurisdiction_id": config.jurisdiction, "api_key": api_key}

    @property
    def place(self) -> str:
        """How the server is called in messages."""
        return f"{self._config.address}/requests.{self._config.format}"

    def between(self, start: float, end: float) -> list[ServiceRequest]:
        """The requests that were made between two times (seconds since 1970)."""
        return self._ask({"start_date": _w3c(start), "end_date": _w3c(end)})

    def named(self, ids: Sequence[str]) -> list[ServiceRequest]:
        """The requests with these ids, as they stand now; those that the server does not know are left out."""
        wanted = set(ids)
        found = self._ask({"service_request_id": ",".join(ids)})
        return [request for request in found if id_of(request) in wanted]  # some servers overlook the parameter

    def _ask(self, query: Mapping[str, str]) -> list[ServiceRequest]:
        given = {name: value for name, value in {**self._fixed, **query}.items() if value}
        answer = self._client.get(f"{self.place}?{urlencode(given)}", robots=self._config.robots)
        if answer.status != 200:
            mend = "Look at address and jurisdiction; the base of a GeoReport v2 server has /requests.json under it"
            raise ReadFailed(self.place, f"answers {answer.status}", mend, refused=True)
        text = encodings.decode(answer.content, answer.charset, shown(self.place)).text
        found = self._from_json(text) if self._config.format == "json" else self._from_xml(text)
        return [request for request in found if isinstance(request, dict)]

    def _from_json(self, text: str) -> list[Any]:
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            raise ReadFailed(self.place, "the answer is no JSON", "Look at address, or set format: xml") from None
        if isinstance(said, list) and not (said and _is_error(said[0])):
            return said
        error = said[0] if isinstance(said, list) else said.get("errors", said) if isinstance(said, dict) else said
        raise self._refused(error)

    def _from_xml(self, text: str) -> list[Any]:
        try:
            root = fromstring(text.encode(), forbid_dtd=True)
        except (ParseError, DefusedXmlException, ValueError) as error:
            said = "declares entities" if isinstance(error, DefusedXmlException) else "is no XML"
            raise ReadFailed(self.place, f"the answer {said}", "Look at address, or set format: json") from None
        if root.tag == "errors":
            raise self._refused({element.tag: element.text for element in root.iter()})
        if root.tag != "service_requests":
            raise self._refused(None)
        return [_fields(element) for element in root]

    def _refused(self, error: Any) -> ReadFailed:
        while isinstance(error, list) and error:
            error = error[0]
        said = error.get("description") if isinstance(error, Mapping) else None
        words = " ".join(str(said).split())[:MAX_SAID_CHARACTERS] if said else "the answer is no list of requests"
        return ReadFailed(self.place, words, "Look at address, jurisdiction and api_key")


def id_of(request: ServiceRequest) -> str:
    """The request's id, empty when it has none: a server may not have one yet (the specification calls it a token)."""
    found = request.get("service_request_id")
    return str(found).strip() if isinstance(found, (str, int)) else ""


def _is_error(item: Any) -> bool:
    return isinstance(item, dict) and "description" in item and "code" in item and not id_of(item)


def _fields(element: Element) -> dict[str, Any]:
    return {child.tag: (child.text or "").strip() for child in element}


def _w3c(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
