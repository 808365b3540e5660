"""PostgreSQL's advisory locks: one list, because a number says nothing of whose it is."""

from __future__ import annotations

from enum import IntEnum, unique


@unique
class AdvisoryLock(IntEnum):
    """Who keeps whom out; held by a session, and given back when it ends."""

    MIGRATION = 7_310_441_009
    RELAY_LEADER = 7_310_441_010
    REBUILD = 7_310_441_011
    RECONCILIATION = 7_310_441_012
    WEBHOOKS_LEADER = 7_310_441_013
    CASEWORK = 7_310_441_014
    WARNING = 7_310_441_015
