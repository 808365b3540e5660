"""An example of a right value for each field, taken from the valid examples of the contracts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from portalbus.schemas import example_files
from portalbus.schemas.models import PAYLOADS

LONGEST = 300
INDEX = re.compile(r"/\d+(?=/|$)")
ATTRIBUTES = {
    "/specversion": "1.0",
    "/id": "0192f0c1-7e3a-7c55-9f10-3c1f5b3f0a01",
    "/source": "/H26/www",
    "/type": "portalbus.events.DirectivePublished",
    "/time": "2026-11-22T08:00:00+07:00",
    "/datacontenttype": "application/json",
    "/correlationid": "15-CT-UBND-2026",
    "/causationid": "0192f0c1-7e3a-7c55-9f10-3c1f5b3f0a01",
    "/traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}


def right_value(event_type: str | None, pointer: str) -> Any:
    """A value that is right at a pointer into a CloudEvent; None when there is no example."""
    place = INDEX.sub("/0", pointer)
    if place in ATTRIBUTES:
        return ATTRIBUTES[place]
    if not place.startswith("/data/"):
        return None
    return _values().get((event_type or "", place.removeprefix("/data")))


@lru_cache(maxsize=1)
def _values() -> dict[tuple[str, str], Any]:
    found: dict[tuple[str, str], Any] = {}
    for example in example_files.valid():
        if example.record in PAYLOADS:
            for place, value in _walk(example.document["payload"]):
                if value not in (None, "", [], ()) and len(str(value)) <= LONGEST:
                    found.setdefault((example.record, place), value)
    return found


def _walk(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if place:
        yield place, value
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _walk(item, f"{place}/{name}")
    elif isinstance(value, list) and value:
        yield from _walk(value[0], f"{place}/0")
