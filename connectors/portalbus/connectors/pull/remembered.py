"""What is remembered of a source from one pass to the next, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from portalbus.connectors.pull.found import Before, Known


class State(StrEnum):
    """Where an item stands with the bus."""

    NEW = "NEW"
    """Nothing of it was published: a rule refuses it, or it is older than what is wanted."""
    STANDING = "STANDING"
    """Published."""
    WITHDRAWN = "WITHDRAWN"
    """Published and withdrawn."""


@dataclass(frozen=True, slots=True)
class Item:
    """One item as it was last decided on.

    `key` is its directive or case id, `version` the last one published (0 for none), `content` the digest of what
    was published, `refused_content` of what was refused last, `refusals` the rules that refused it with their words.
    `missing` counts how often it was not found since `missing_since`. `data` is what was published last, without
    the body. `life` counts how often it came back after a withdrawal, from 1.
    """

    id: str
    event_type: str
    key: str
    first_seen: datetime
    state: State = State.NEW
    life: int = 1
    version: int = 0
    content: str = ""
    refused_content: str = ""
    refusals: tuple[str, ...] = ()
    url: str = ""
    mark: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    missing: int = 0
    missing_since: datetime | None = None
    asked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that people should look at before anything more is withdrawn."""

    rule: str
    text: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Memory:
    """Everything that is remembered of one source.

    `listed` is how many items the last sound listing held. `accepted` names the alert that an operator looked at and
    let pass: it is not raised again before it once was over.
    """

    items: Mapping[str, Item] = field(default_factory=dict)
    cursor: Mapping[str, Any] = field(default_factory=dict)
    listed: int = 0
    alert: Alert | None = None
    accepted: str = ""

    def before(self, *, afresh: bool = False) -> Before:
        """What a kind is given; without marks and cursor (`afresh`) when everything is to be read again."""
        known = {
            item.id: Known(item.id, item.url, "" if afresh else item.mark, item.first_seen, item.data)
            for item in self.items.values()
        }
        return Before({} if afresh else self.cursor, known)
