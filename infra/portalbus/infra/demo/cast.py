"""Who takes part: agencies of the directory, each with the portal that speaks for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from portalbus.schemas.directory import FIRST_LEVEL_KINDS, Agency, AgencyDirectory

GOVERNMENT_PORTAL = "G22"
WEB = "www"
"""Portal id of the simulated portals, which use the SDK."""
LEGACY = "legacy"
"""Portal id of the simulated old systems, which write to Kafka by themselves, and badly."""


def choose_cast(directory: AgencyDirectory, portals: int, on: date) -> tuple[Agency, ...]:
    """The Government Portal, then ministries and provinces in turn, then the rest, until there are enough.

    Raises ValueError when the directory has fewer agencies on that day.
    """
    current = directory.current(on)
    if not 3 <= portals <= len(current):
        raise ValueError(f"--portals must be from 3 to {len(current)}, the agencies of today's directory")
    first = [agency for agency in current if agency.code == GOVERNMENT_PORTAL]
    provinces = [agency for agency in current if agency.kind == "province"]
    centre = [agency for agency in current if agency.kind in FIRST_LEVEL_KINDS[:3] and agency not in first]
    rest = [agency for agency in current if agency not in (*first, *provinces, *centre)]
    return tuple((first + _in_turn(provinces, centre) + rest)[:portals])


def _in_turn(many: Sequence[Agency], few: Sequence[Agency]) -> list[Agency]:
    """Both lists spread evenly over each other, so that any beginning has both."""
    places = [(index / len(many), 0, agency) for index, agency in enumerate(many)]
    places += [(index / len(few), 1, agency) for index, agency in enumerate(few)]
    return [agency for _, _, agency in sorted(places, key=lambda place: place[:2])]
