"""What may differ between the sources and the central store."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How something differs."""

    MISSING = "missing"  # published, and not there
    ALTERED = "altered"  # there, and not as it was published
    UNKNOWN = "unknown"  # there, and published by nobody


class Place(StrEnum):
    """The table that differs; `ANSWER` is the half of a case that its resolution wrote."""

    EVENT = "event"
    VERSION = "directive_version"
    DIRECTIVE = "directive"
    CASE = "case"
    ANSWER = "answer"
    STEP = "case_step"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs, and the event it came from; `columns` names what is altered, never what it holds."""

    kind: Kind
    place: Place
    agency: str
    portal: str | None = None
    epoch: int | None = None
    sequence: int | None = None
    event_id: str | None = None
    content_hash: bytes | None = None
    key: str | None = None
    version: int | None = None
    columns: tuple[str, ...] = ()
