"""Put on the PYTHONPATH of a process under test: it works without the defence that PORTALBUS_TEST_WITHOUT names."""

from __future__ import annotations

import os
from collections.abc import Iterable

WITHOUT = os.environ.get("PORTALBUS_TEST_WITHOUT")

if WITHOUT == "unique-event-id":
    from portalbus.streams.judgement import docket

    _hear = docket.Docket.hear

    def _forgetful(one: docket.Docket, items: Iterable[docket.Item]) -> None:
        for item in items:
            one.history.event_ids.clear()
            _hear(one, [item])

    docket.Docket.hear = _forgetful  # type: ignore[method-assign,assignment]

elif WITHOUT == "position-topic":
    from portalbus.streams.relaying import position

    def _from_the_beginning(*_: object) -> int:
        return 0

    position.read_position = _from_the_beginning  # type: ignore[assignment]
