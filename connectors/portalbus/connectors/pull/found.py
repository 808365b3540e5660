"""What a source was found to hold: the words between the kinds, which read, and the comparer, which decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Listing(StrEnum):
    """How much of the source a reading lists."""

    COMPLETE = "COMPLETE"
    """Everything that stands there now: what is not listed is gone."""
    WINDOW = "WINDOW"
    """Only the newest, or only what is new: what is not listed may well stand."""
    UNCHANGED = "UNCHANGED"
    """The source said that nothing changed (304, same file, same row version)."""


class Presence(StrEnum):
    """What an item's own page answered when it was asked whether the item still stands."""

    THERE = "THERE"
    GONE = "GONE"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Remark:
    """Something a person should know about a reading: where (item, line, address), and what with how to mend it."""

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}" if self.place else self.text


@dataclass(frozen=True, slots=True)
class FoundItem:
    """One item as it stands at the source now.

    `id` is the source's own stable name of it; two readings of the same item give the same one. `data` holds the
    fields of the payload as JSON data, right or wrong: the rules say what is wrong with them. Left to the comparer
    are, for a directive, `action`, `version`, `withdrawal_reason`, and unless they are given `directive_id` and
    `issued_on` (the day on which it was first seen); for a feedback `case_id` and `public_code` unless given.
    `url` is the item's own page, `mark` whatever changes when the item does (lastmod, ETag, row version); it is given
    back at the next reading.
    """

    id: str
    data: Mapping[str, Any]
    event_type: str = "DirectivePublished"
    url: str = ""
    occurred_at: datetime | None = None
    mark: str = ""
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What one reading of a source found.

    `items` are those whose content was read. `listed` are the ids of all that stand there, also those whose content
    was not read again because nothing says that they changed; None means: just the items. `cursor` is JSON data
    that the next reading is given back; it is remembered in one transaction with what was decided on the items.
    `more` says that one reading does not hold everything: the same source is read again at once, in the same pass.
    `alert` is a text of a kind that sees by itself that its source shrank or was replaced.
    """

    items: tuple[FoundItem, ...] = ()
    listing: Listing = Listing.WINDOW
    listed: frozenset[str] | None = None
    cursor: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[Remark, ...] = ()
    more: bool = False
    alert: str = ""

    @property
    def ids(self) -> frozenset[str]:
        """The ids of everything that is known to stand there."""
        return frozenset(item.id for item in self.items) | (self.listed or frozenset())


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of one item, as far as a kind needs it.

    `data` is what was read last, without its body.
    """

    id: str
    url: str
    mark: str
    first_seen: datetime
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Before:
    """What the reading before left: its cursor, and the items known. Both are empty the first time."""

    cursor: Mapping[str, Any] = field(default_factory=dict)
    known: Mapping[str, Known] = field(default_factory=dict)
