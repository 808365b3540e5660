"""Put on the PYTHONPATH of a process under test: it works without the defence that PORTALBUS_TEST_WITHOUT names."""

from __future__ import annotations

import os
from collections.abc import Iterable

WITHOUT = os.environ.get("PORTALBUS_TEST_WITHOUT")

if WITHOUT == "unique-event-id":
    from portalbus.streams.judgement.docket import Docket, Item

    _hear = Docket.hear

    def _forgetful(docket: Docket, items: Iterable[Item]) -> None:
        for item in items:
            docket.history.event_ids.clear()
            _hear(docket, [item])

    Docket.hear = _forgetful  # type: ignore[method-assign]

elif WITHOUT == "position-topic":
    from portalbus.streams.relaying import position

    position.read_position = lambda _: 0
