"""The search for personal data finds it in every shape that a log could give it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
import structlog

from personal_canaries import Person
from portalbus.streams.logging_setup import log_json

PERSON = Person.made_up(20261120)


def logged(text: str, capsys: pytest.CaptureFixture[str]) -> bytes:
    """A line of the bus's own log."""
    log_json("test")
    structlog.get_logger("x").info("x.y", said=text)
    structlog.contextvars.clear_contextvars()
    return capsys.readouterr().err.encode()


@pytest.mark.parametrize(
    "shape",
    [
        lambda text: text.encode(),
        lambda text: text.upper().encode(),
        lambda text: json.dumps(text).encode(),
        lambda text: repr(text.encode()).encode(),
        lambda text: quote(text).encode(),
        lambda text: text.encode().hex().encode(),
        lambda text: base64.b64encode(text.encode()),
        lambda text: base64.b64encode(b"x" + text.encode()),
        lambda text: base64.b64encode(b"xy" + text.encode()),
    ],
)
def test_it_is_found_in_every_shape(shape: Callable[[str], bytes]) -> None:
    assert PERSON.found_in(b'{"event": "x.y", "said": "' + shape(PERSON.text) + b'"}') == list(PERSON.words)


def test_it_is_found_in_a_log_line_of_the_bus_and_not_where_it_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert PERSON.found_in(logged(PERSON.name, capsys)) == [PERSON.words[0]]
    assert PERSON.found_in(logged(Person.made_up(1).text, capsys)) == []
