"""Who may come in: the API key of a request, and how fast it may go."""

from __future__ import annotations

import structlog
from starlette.requests import Request

from portalbus.connectors.gateway.keys import ApiKey, KeyRing, id_of
from portalbus.connectors.gateway.problems import Refusal
from portalbus.connectors.gateway.settings import Settings
from portalbus.connectors.web.rate_limit import RateLimit, asker_of

log = structlog.get_logger(__name__)

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="portalbus gateway"'}


class Gate:
    """Finds the key of a request, and counts what it does."""

    def __init__(self, settings: Settings, ring: KeyRing) -> None:
        self._settings = settings
        self._ring = ring
        self._limits: dict[float, RateLimit] = {}
        self._failures = RateLimit(settings.failures_per_minute / 60, settings.failures_per_minute)

    def admit(self, request: Request) -> ApiKey:
        """The key that a request was made with. Raises Refusal."""
        scheme, _, presented = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not presented:
            raise Refusal("gateway.key-missing", headers=CHALLENGE)
        presented = presented.strip()
        key = self._ring.find(presented)
        if key is None:
            address = asker_of(request.client.host) if request.client else "unknown"
            # Who has a key is not held up by whoever guesses from the same address.
            if wait := self._failures.seconds_to_wait(address):
                raise Refusal("gateway.too-many-failures", headers={"Retry-After": str(wait)})
            # Who goes on with a revoked key, or tries ids that are known, is found by the id.
            log.warning("gateway.key-refused", key=id_of(presented))
            raise Refusal("gateway.key-unknown", headers=CHALLENGE)
        return key

    def count(self, key: ApiKey, events: int) -> None:
        """Counts events (or questions) of a key. Raises Refusal when it is too fast."""
        rate = key.events_per_second or self._settings.events_per_second
        limit = self._limits.get(rate)
        if limit is None:
            burst = max(int(rate * self._settings.burst_s), 1)
            limit = self._limits[rate] = RateLimit(rate, burst)
        if wait := limit.seconds_to_wait(key.id, events):
            raise Refusal("gateway.rate", headers={"Retry-After": str(wait)})
