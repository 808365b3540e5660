"""Every producer of ours has one request on its way at a time: see `kafka_settings.ONE_REQUEST_AT_A_TIME`."""

from __future__ import annotations

import re
from pathlib import Path

import portalbus

NO_PRODUCER = {"testing/bus.py"}
"""Asks for a broker within the process, and writes nothing."""


def test_no_producer_has_two_requests_on_their_way() -> None:
    sources = [path for folder in portalbus.__path__ for path in Path(folder).rglob("*.py")]
    made = {path: text for path in sources if re.search(r"(?<!\w)Producer\(\s*[{\w]", text := path.read_text())}
    careless = [path for path, text in made.items() if "**ONE_REQUEST_AT_A_TIME" not in text]
    assert len(made) >= 4
    assert [str(path) for path in careless if not str(path).endswith(tuple(NO_PRODUCER))] == []
