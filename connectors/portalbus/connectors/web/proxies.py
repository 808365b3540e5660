"""Whose X-Forwarded-For and X-Forwarded-Proto are believed: the proxies that stand before a web process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_address, ip_network

PROXIES_VARIABLE = "PORTALBUS_TRUSTED_PROXIES"
USUAL_PROXIES = "127.0.0.1"


def proxies_of(text: str) -> str:
    """Addresses and networks, separated by commas. Raises ValueError for what is neither, such as a host's name.

    The server would take a name for one that never comes, and every visitor for the proxy.
    """
    found = [part.strip() for part in text.split(",") if part.strip()]
    for part in found:
        try:
            _ = ip_network(part) if "/" in part else ip_address(part)
        except ValueError:
            raise ValueError(f"{part!r} is neither an address nor a network: give 192.0.2.7 or 192.0.2.0/24") from None
    return ",".join(found)


def proxies_from_environment(environment: Mapping[str, str] = os.environ) -> str:
    """What PORTALBUS_TRUSTED_PROXIES names, as it stands there; this machine alone without it."""
    return environment.get(PROXIES_VARIABLE) or USUAL_PROXIES
