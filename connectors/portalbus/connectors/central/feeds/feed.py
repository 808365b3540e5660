"""A feed and its entries, whatever they are written as. Ids are made of what never changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha1
from uuid import NAMESPACE_URL, UUID, uuid5


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. `updated` is when it changed last; `marks` are labels such as the document type."""

    id: str
    title: str
    link: str
    published: datetime
    updated: datetime
    author: str
    summary: str
    language: str
    marks: tuple[tuple[str, str], ...] = ()
    """Code and name of each label."""
    data_link: str = ""
    """Where the same stands as JSON."""


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed, newest change first. `addresses` are its own, by format."""

    id: str
    title: str
    subtitle: str
    author: str
    language: str
    link: str
    addresses: dict[str, str]
    entries: tuple[Entry, ...]

    @property
    def updated(self) -> datetime | None:
        """When something in it changed last; None when it is empty."""
        return max((entry.updated for entry in self.entries), default=None)


def directive_entry_id(key: str) -> str:
    """The id of a directive's entry: the same in every feed, for every version."""
    return lasting_id("directive", key)


def directive_of_entry(entry: UUID, keys: Iterable[str]) -> str | None:
    """The key whose entry has this id; None for none.

    Nearly all keys are told apart by the first bytes of the hash: making the ids of all takes five times as long.
    """
    hashed = sha1(NAMESPACE_URL.bytes + _name("directive", "").encode(), usedforsecurity=False)
    wanted = entry.bytes[:6]
    for key in keys:
        whole = hashed.copy()
        whole.update(key.encode())
        if whole.digest()[:6] == wanted and directive_entry_id(key) == f"urn:uuid:{entry}":
            return key
    return None


def event_entry_id(event_id: str) -> str:
    """The id of a feedback event's entry."""
    return f"urn:uuid:{event_id}"


def lasting_id(*parts: str) -> str:
    """An id that is the same whenever and wherever it is made of the same parts: `urn:uuid:…`."""
    return f"urn:uuid:{uuid5(NAMESPACE_URL, _name(*parts))}"


def _name(*parts: str) -> str:
    return ":".join(("portalbus", *parts))
