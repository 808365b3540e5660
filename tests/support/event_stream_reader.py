"""Reads server-sent events as the HTML standard says (9.2.6), for tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2


@dataclass(frozen=True, slots=True)
class Sent:
    """One event of a stream."""

    event: str
    id: str
    text: str

    @property
    def data(self) -> Any:
        """Its data, as JSON."""
        return json.loads(self.text)


def events(answer: httpx2.Response) -> Iterator[Sent]:
    """The events of a stream as they come."""
    event, last_id = "", ""
    text: list[str] = []
    for line in answer.iter_lines():
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if text:
                yield Sent(event or "message", last_id, "\n".join(text))
            event, text = "", []
        elif name == "data":
            text.append(value)
        elif name == "event":
            event = value
        elif name == "id":
            last_id = value
