"""A broker that loses records: it acknowledges them, and they never reach their lane."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from portalbus.producers.lane_writer import LaneWriter


def losing(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Event ids, to be filled: the first record of each never reaches the lane, although the portal is told so."""
    lost: set[str] = set()
    send = LaneWriter.send

    def forgetful(
        writer: LaneWriter, key: bytes, value: bytes, headers: list[tuple[str, Any]], answered: Callable[[Any], None]
    ) -> bool:
        event_id = dict(headers)["ce_id"].decode()
        if event_id in lost:
            lost.remove(event_id)
            answered(None)
            return True
        return send(writer, key, value, headers, answered)

    monkeypatch.setattr(LaneWriter, "send", forgetful)
    return lost
