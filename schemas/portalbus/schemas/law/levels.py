"""The levels that an urgent case climbs: sub-unit or commune, ministry or province, Government Portal, digest."""

from __future__ import annotations

from portalbus.schemas.directory import first_level

LEVELS = ("L0", "L1", "L2")
GOVERNMENT_PORTAL = "G22"
"""The Government Office, which runs the Government Portal (Decree 224/2026)."""
DIGEST = "PM"
"""The digest for the Government and the Prime Minister: where nobody acknowledges, only reads."""


def ladder(agency: str) -> tuple[str, ...]:
    """Who has to acknowledge an urgent case of this agency, one after the other; above the last one is the digest."""
    steps = (agency, first_level(agency), GOVERNMENT_PORTAL)
    return tuple(dict.fromkeys(steps))


def level_of(agency: str) -> str:
    """L0, L1 or L2."""
    if agency == GOVERNMENT_PORTAL:
        return "L0"
    return "L1" if first_level(agency) == agency else "L2"
