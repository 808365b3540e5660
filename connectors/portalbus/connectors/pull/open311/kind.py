"""The kind `open311`: a city's service requests, read by time, and the open ones asked for again until they close."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from portalbus.connectors.pull.found import Before, FoundItem, Listing, Reading, Remark
from portalbus.connectors.pull.kind import Kind, ReadFailed, ReadOnlySource, Surroundings
from portalbus.connectors.pull.mapping import rules
from portalbus.connectors.pull.open311.cases import DEFAULTS, RESOLVED, items_of, resolved_id
from portalbus.connectors.pull.open311.requests import RequestsApi, ServiceRequest, id_of
from portalbus.connectors.pull.open311.settings import Open311Config

IDS_AT_ONCE = 50
LEAST_SECONDS = 1.0
"""Times are whole seconds; what one second holds more of than an answer cannot be asked for."""
MAX_SPANS = 100
"""So many answers one span of time may be cut into."""
LOST_PART = 0.3
LOST_LEAST = 2


class Open311(ReadOnlySource):
    """One GeoReport v2 server. Each reading is one span of time; the last one of a pass asks for the open cases."""

    def __init__(self, config: Open311Config, surroundings: Surroundings) -> None:
        self._config = config
        self._now = surroundings.clock()
        self._rules = rules(DEFAULTS, config.mapping)
        self._client = surroundings.web()
        self._api = RequestsApi(config, self._client, surroundings.secret(config.api_key))
        self._spans = 0

    def read(self, before: Before) -> Reading:
        """The requests of the next span of time; see `Source`."""
        now = self._now.timestamp()
        self._spans = 0
        until = before.cursor.get("until")
        start = self._config.beginning(self._now) if until is None else float(until) - self._config.overlap
        end = min(start + self._config.window + (0 if until is None else self._config.overlap), now)
        found, remarks = self._between(start, end)
        cursor = {**before.cursor, "until": end}
        alert = ""
        if end >= now:
            again, cursor["asked"], alert = self._open_ones(before, {id_of(request) for request in found})
            found += again
        items = [item for request in found for item in self._items(request, before)]
        nameless = sum(not id_of(request) for request in found)
        if nameless:
            remarks.append(
                Remark(self._api.place, f"{nameless} requests have no service_request_id yet; left for later")
            )
        return Reading(
            tuple({item.id: item for item in items}.values()),
            Listing.WINDOW,
            cursor=cursor,
            remarks=tuple(remarks),
            more=end < now,
            alert=alert,
        )

    def close(self) -> None:
        """Closes its connections."""
        self._client.close()

    def _between(self, start: float, end: float) -> tuple[list[ServiceRequest], list[Remark]]:
        """All requests of a span; where one answer cannot hold them, each half is asked for."""
        self._spans += 1
        if self._spans > MAX_SPANS:
            what = f"{MAX_SPANS} answers were full, however short the time"
            raise ReadFailed(self._api.place, what, "Does it keep to start_date and end_date? Look at page_limit")
        found = self._api.between(start, end)
        if len(found) < self._config.page_limit:
            return found, []
        if end - start <= LEAST_SECONDS:
            text = f"there are {self._config.page_limit} or more requests in one second; the rest cannot be asked for"
            return found, [Remark(self._api.place, text)]
        middle = (start + end) / 2
        first, remarks = self._between(start, middle)
        second, more = self._between(middle, end)
        return first + second, remarks + more

    def _open_ones(self, before: Before, fresh: set[str]) -> tuple[list[ServiceRequest], str, str]:
        """Open cases as they stand now: the next ones in turn. Also where the turn stopped, and an alert if any."""
        waiting = sorted(item for item in _open(before) if item not in fresh)
        last = str(before.cursor.get("asked", ""))
        turn = [item for item in waiting if item > last] + [item for item in waiting if item <= last]
        turn = turn[: self._config.recheck]
        found: list[ServiceRequest] = []
        for ids in _cut(turn, IDS_AT_ONCE):
            found += self._api.named(ids)
        lost = len(turn) - len({id_of(request) for request in found})
        alert = ""
        if lost >= LOST_LEAST and lost > LOST_PART * len(turn):
            alert = f"{lost} of {len(turn)} open requests are not known to the server any more; nothing was closed"
        return found, turn[-1] if turn else "", alert

    def _items(self, request: ServiceRequest, before: Before) -> list[FoundItem]:
        """What is new in a request."""
        items = list(items_of(request, self._rules, self._config))
        known: Mapping[str, Any] = before.known
        return [item for item in items if item.id not in known or known[item.id].mark != item.mark]


def _open(before: Before) -> list[str]:
    return [item for item in before.known if not item.endswith(RESOLVED) and resolved_id(item) not in before.known]


def _cut(ids: Sequence[str], size: int) -> list[Sequence[str]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]


OPEN311 = Kind("open311", Open311Config, Open311, DEFAULTS)
