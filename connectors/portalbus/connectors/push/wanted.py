"""What a receiver wants to hear of: agencies, event types, languages. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from portalbus.schemas.topics import CANONICAL

VERDICT = "Verdict"
TYPES = (*CANONICAL, VERDICT)


@dataclass(frozen=True, slots=True)
class Concerns:
    """What is asked of an event: its type, whom it concerns, and the language of what it says (None: no language)."""

    event_type: str
    agencies: frozenset[str]
    language: str | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A filter: an empty part lets everything through, but verdicts come only to who names them and the agency."""

    agencies: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    languages: frozenset[str] = frozenset()

    @classmethod
    def of(cls, agencies: Collection[str] = (), types: Collection[str] = (), languages: Collection[str] = ()) -> Wanted:
        """A filter, checked. Raises ValueError with what to mend."""
        unknown = sorted(set(types) - set(TYPES))
        if unknown:
            raise ValueError(f"{', '.join(unknown)} is no event type; there are {', '.join(TYPES)}")
        if VERDICT in types and not agencies:
            raise ValueError("verdicts are for the agency that sent the events: name it with --agency")
        return cls(frozenset(agencies), frozenset(types), frozenset(tag.lower() for tag in languages))

    def lets_through(self, event: Concerns) -> bool:
        """True when the receiver wants it."""
        if event.event_type not in (self.types or CANONICAL):
            return False
        if self.agencies and not self.agencies & event.agencies:
            return False
        return not self.languages or event.language is None or speaks(event.language, self.languages)


def speaks(language: str, wanted: Collection[str]) -> bool:
    """True when a language tag is one of these or narrower (RFC 4647 3.3.1): `vi-VN` is `vi`."""
    tag = language.lower()
    return any(tag == one or tag.startswith(f"{one}-") for one in wanted)
