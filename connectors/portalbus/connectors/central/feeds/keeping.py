"""The feeds that were asked for lately, as they were written."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from time import monotonic

FRESH_FOR_S = 2.0
"""A feed is made anew at most this often; so its Last-Modified, which counts seconds, tells two of them apart."""
MOST_KEPT = 500


@dataclass(frozen=True, slots=True)
class MadeFeed:
    """One feed as it was made; `since` is when it first looked like this."""

    content: bytes
    etag: str
    since: datetime
    made_at: float


class KeptFeeds:
    """The feeds that were asked for lately."""

    def __init__(self) -> None:
        self._made: OrderedDict[str, MadeFeed] = OrderedDict()

    def fresh(self, address: str) -> MadeFeed | None:
        """The feed at this address, when it need not be made anew."""
        found = self._made.get(address)
        return found if found and monotonic() - found.made_at < FRESH_FOR_S else None

    def put(self, address: str, content: bytes, now: datetime) -> MadeFeed:
        """Keeps a feed that was just made."""
        # Weak, because the same feed also goes out compressed.
        etag = f'W/"{hashlib.sha256(content).hexdigest()[:32]}"'
        before = self._made.pop(address, None)
        since = before.since if before and before.etag == etag else now.replace(microsecond=0)
        made = self._made[address] = MadeFeed(content, etag, since, monotonic())
        if len(self._made) > MOST_KEPT:
            self._made.popitem(last=False)
        return made
