"""Who decided, and why."""

from __future__ import annotations

from typing import NamedTuple


class Decider(NamedTuple):
    """Who decides about parked records, and why; both are kept with every decision."""

    who: str
    why: str
