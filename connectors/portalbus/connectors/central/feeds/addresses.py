"""The addresses of feeds: which one carries an event, and what is asked for at one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qs, urlencode, urlsplit

from portalbus.connectors.central.feeds.feed import directive_entry_id, event_entry_id
from portalbus.streams.reading.accepted import AcceptedRow
from portalbus.streams.reading.tracing import InFeed

DIRECTIVES = "DirectivePublished"
FEEDBACK = ("FeedbackReceived", "FeedbackResolved")
PATH = re.compile(r"^/[a-z]{2}/feed\.(?:atom|rss)$")


@dataclass(frozen=True, slots=True)
class FeedAddress:
    """What is asked for at the address of a feed."""

    event_type: str
    agency: str | None
    language: str | None

    @classmethod
    def read(cls, address: str) -> Self | None:
        """What is asked for at an address, with or without its host; None when no feed can be there."""
        try:
            parts = urlsplit(address)
        except ValueError:
            return None
        if not PATH.match(parts.path):
            return None
        asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        event_type = asked.get("type", DIRECTIVES)
        if event_type not in (DIRECTIVES, *FEEDBACK):
            return None
        return cls(event_type, asked.get("agency"), asked.get("lang"))


def feed_query(event_type: str, agency: str | None, language: str | None) -> str:
    """The query of a feed's address, always the same for the same feed."""
    asked = {"type": event_type if event_type != DIRECTIVES else None, "agency": agency, "lang": language}
    kept = {name: value for name, value in asked.items() if value}
    return f"?{urlencode(kept)}" if kept else ""


def feeds_of(row: AcceptedRow) -> tuple[InFeed, ...]:
    """The feeds that carry an accepted event, the widest first; none while an answer is withheld."""
    if row.withheld or row.event_type not in (DIRECTIVES, *FEEDBACK):
        return ()
    is_directive = row.event_type == DIRECTIVES
    entry = directive_entry_id(row.key) if is_directive else event_entry_id(row.event_id)
    agencies = (None, *dict.fromkeys(row.concerned))
    languages = (None, row.language) if is_directive else (None,)
    queries = [feed_query(row.event_type, agency, language) for agency in agencies for language in languages]
    return tuple(InFeed(f"/feed.atom{query}", entry, row.received_at) for query in queries)
