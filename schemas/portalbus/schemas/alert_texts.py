"""What alerts say: each kind with its texts for opening and closing, read from `data/alerts.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

from portalbus.schemas.filled_texts import fill
from portalbus.schemas.models import Texts
from portalbus.schemas.notices import AlertStatus

CLOSED_BY_HAND = {
    "vi": "Người vận hành đã đóng cảnh báo này: {why}",
    "en": "An operator closed this alert: {why}",
    "zh": "运维人员已关闭此警报：{why}",
}


@lru_cache(maxsize=1)
def alert_kinds() -> Mapping[str, Mapping[str, Any]]:
    """The texts of every kind of alert, read once."""
    text = files("portalbus.schemas").joinpath("data/alerts.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def alert_message(kind: str, status: AlertStatus, places: Mapping[str, str]) -> Texts:
    """The alert in words. Raises KeyError for a kind that has none."""
    return fill(alert_kinds()[kind][status.value.lower()], places)


def closed_by_hand(why: str) -> Texts:
    """What an alert says that a person has closed, whose cause may last."""
    return fill(CLOSED_BY_HAND, {"why": why})
