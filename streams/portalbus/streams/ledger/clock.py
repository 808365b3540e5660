"""The time of the ledger: the database's clock, so that no worker's own clock decides anything."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta


class LedgerClock:
    """Tells the database's time between two looks at it; safe to use from any thread.

    Each transaction of the ledger looks. In between the time that has passed is added to what the database last said.
    It may be behind by what an answer takes on its way, and is never ahead.
    """

    def __init__(self, monotonic: Callable[[], float] = lambda: time.monotonic()) -> None:
        self._monotonic = monotonic
        self._seen: tuple[datetime, float] | None = None

    def seen(self, now: datetime) -> None:
        """Notes what the database has just said."""
        self._seen = now, self._monotonic()

    def now(self) -> datetime:
        """The time. Raises LookupError when the database was never asked."""
        if self._seen is None:
            raise LookupError("the database was not asked for its time yet")
        said, at = self._seen
        return said + timedelta(seconds=self._monotonic() - at)
