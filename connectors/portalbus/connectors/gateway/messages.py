"""How CloudEvents 1.0 lie in an HTTP request: structured, as a batch, or in binary mode."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.datastructures import Headers

from portalbus.connectors.gateway.bodies import parsed
from portalbus.connectors.gateway.problems import Refusal

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
PREFIX = "ce-"
LONGEST_HEADER = 1_000
UTF_8 = ("", "utf-8", "utf8")


class Mode(Enum):
    """How the events lie in the request."""

    STRUCTURED = "structured"
    BATCH = "batch"
    BINARY = "binary"


@dataclass(frozen=True, slots=True)
class Message:
    """The events of one request, as they came: not even known to be objects."""

    mode: Mode
    events: list[Any]


def mode_of(headers: Headers) -> Mode:
    """How the events lie in a request with these headers. Raises Refusal."""
    media, _, parameters = headers.get("content-type", "").partition(";")
    media = media.strip().lower()
    if _charset(parameters) not in UTF_8:
        raise Refusal("gateway.content-type")
    if media == BATCH:
        return Mode.BATCH
    if media == STRUCTURED:
        return Mode.STRUCTURED
    if f"{PREFIX}specversion" in headers and _is_json(media):
        return Mode.BINARY
    raise Refusal("gateway.content-type")


def read_message(mode: Mode, headers: Headers, body: bytes, most: int) -> Message:
    """The events of a request, `most` at most. Raises Refusal."""
    value = parsed(body)
    if mode is Mode.BINARY:
        return Message(mode, [{**attributes(headers), "data": value}])
    if mode is Mode.STRUCTURED:
        return Message(mode, [value])
    if not isinstance(value, list):
        raise Refusal("gateway.not-json", {"reason": "a batch is an array of events"})
    if len(value) > most:
        raise Refusal("gateway.batch-too-long", {"bound": str(most)})
    return Message(mode, value)


def attributes(headers: Headers) -> dict[str, str]:
    """The attributes of a CloudEvent in binary mode (HTTP binding 3.1). Raises Refusal."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        if not name.startswith(PREFIX):
            continue
        attribute = name.removeprefix(PREFIX)
        if attribute in found or len(value) > LONGEST_HEADER or attribute == "data":
            raise Refusal("gateway.header", {"name": name[:64]})
        try:
            # Starlette reads the bytes as Latin-1; what is not ASCII should come as percent-encoded UTF-8.
            found[attribute] = unquote_to_bytes(value.encode("latin-1")).decode("utf-8")
        except UnicodeDecodeError:
            raise Refusal("gateway.header", {"name": name[:64]}) from None
    return found


def _charset(parameters: str) -> str:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"').lower()
    return ""


def _is_json(media: str) -> bool:
    return media == "application/json" or (media.startswith("application/") and media.endswith("+json"))
