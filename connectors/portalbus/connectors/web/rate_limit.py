"""How often somebody may ask: a token bucket each, in memory, bounded in number."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv4Address, ip_address, ip_network
from math import ceil
from time import monotonic
from zlib import crc32

MAX_ASKERS = 20_000
SUBSCRIBER = 64
"""Leading bits of an IPv6 address that one subscriber cannot change: everybody is given at least that much room."""


def asker_of(address: str) -> str:
    """Whom an address stands for: itself, or of IPv6 the network that a subscriber has for himself."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ip_network((found, SUBSCRIBER), strict=False))


SHARED = 1_000


class RateLimit:
    """Allows each asker `per_second` requests a second, in bursts of `burst`.

    When more ask than are remembered, nobody who is in the middle of something is forgotten: newcomers share some
    buckets until there is room.
    """

    def __init__(self, per_second: float, burst: int, *, clock: Callable[[], float] = monotonic) -> None:
        self._most = float(burst)
        self._per_second = per_second
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def seconds_to_wait(self, asker: str, cost: int = 1) -> int:
        """0 when this may go on (and is counted), else after how many seconds it may.

        What costs more than a burst goes on when the bucket is full, and leaves it in debt.
        """
        now = self._clock()
        asker = self._place(asker, now)
        left = self._left(self._buckets.pop(asker, (self._most, now)), now)
        needed = min(float(cost), self._most)
        allowed = left >= needed
        self._buckets[asker] = (left - cost if allowed else left, now)
        return 0 if allowed else max(1, ceil((needed - left) / self._per_second - 1e-6))

    def _left(self, bucket: tuple[float, float], now: float) -> float:
        left, since = bucket
        return min(self._most, left + (now - since) * self._per_second)

    def _place(self, asker: str, now: float) -> str:
        """The asker's own bucket, or a shared one when there is no room for another."""
        if asker in self._buckets:
            return asker
        while len(self._buckets) >= MAX_ASKERS and self._left(next(iter(self._buckets.values())), now) >= self._most:
            self._buckets.popitem(last=False)  # full again: as if it had never asked
        return asker if len(self._buckets) < MAX_ASKERS else f"shared {crc32(asker.encode()) % SHARED}"
