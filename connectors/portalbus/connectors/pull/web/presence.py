"""Asking a page whether it still stands."""

from __future__ import annotations

from collections.abc import Mapping

from portalbus.connectors.pull.found import Presence
from portalbus.connectors.pull.kind import NotYet, ReadFailed
from portalbus.connectors.pull.web.client import GONE, WebClient


def presence_of(client: WebClient, url: str, headers: Mapping[str, str], robots: bool) -> Presence:
    """GONE only for 404 and 410, which say so; a server in trouble says nothing. Raises NotYet."""
    try:
        status = client.status(url, headers=headers, robots=robots)
    except NotYet:
        raise
    except ReadFailed:
        return Presence.UNKNOWN
    return Presence.GONE if status in GONE else Presence.THERE
