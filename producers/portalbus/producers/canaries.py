"""Canaries: every few minutes the source sends itself an event through the whole bus, and times its return.

A canary is an event like any other: it has a sequence, lies in the outbox, is counted by the manifest and gets a
verdict. It says nothing to the public. At most one is on its way to the broker, so an outage leaves one behind and not
hundreds.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from portalbus.producers.forks import undivided
from portalbus.producers.outbox import Outbox
from portalbus.producers.settings import Settings
from portalbus.schemas.errors import OutboxFull, OutboxUnavailable

if TYPE_CHECKING:
    from portalbus.producers.draft import Drafter

REMEMBERED = 100
"""Canaries whose return is still awaited, at most."""


class Canaries:
    """The canaries of the process that delivers: the delivery sends them, the reader of verdicts times them."""

    def __init__(self, settings: Settings, outbox: Outbox, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._outbox = outbox
        self._clock = clock
        self._lock = threading.Lock()
        self._awaited: OrderedDict[bytes, float] = OrderedDict()
        self._returned: tuple[str, int] | None = None
        self._last_sequence = 0
        self._drafter: Drafter | None = None
        self._due = clock() + settings.canary

    def begin(self) -> None:
        """This process delivers from now on: its first canary comes after one interval."""
        with self._lock:
            self._awaited.clear()
        self._due = self._clock() + self._settings.canary

    def send_if_due(self) -> None:
        """Publishes a canary when it is time. Raises OutboxDamaged."""
        if not self._settings.canary or self._clock() < self._due:
            return
        self._due = self._clock() + self._settings.canary
        if self._outbox.source_row().delivered_sequence >= self._last_sequence:
            self._send()

    def heard(self, key: bytes | None) -> None:
        """Takes in that a verdict with this key came back."""
        if key is None or key not in self._awaited:
            return
        with self._lock:
            sent_at = self._awaited[key]
            while self._awaited.popitem(last=False)[0] != key:
                pass  # verdicts keep their order: what was sent before it has come back, or will not
            self._returned = (key.decode(), round((self._clock() - sent_at) * 1000))

    def _send(self) -> None:
        with undivided:
            from portalbus.producers.draft import Drafter
            from portalbus.schemas.models import Canary

        self._drafter = self._drafter or Drafter(self._settings.agency, self._settings.portal)
        with self._lock:
            returned_id, round_trip_ms = self._returned or (None, None)
            canary = Canary(
                interval_s=self._settings.canary_s,
                returned_id=returned_id,
                round_trip_ms=round_trip_ms,
                unreturned=len(self._awaited),
            )
        draft = self._drafter.draft(canary)
        with self._lock:
            self._awaited[draft.event_id.encode()] = self._clock()
            while len(self._awaited) > REMEMBERED:
                self._awaited.popitem(last=False)
        try:
            (receipt,) = self._outbox.append([draft])
        except (OutboxFull, OutboxUnavailable):
            with self._lock:
                self._awaited.pop(draft.event_id.encode(), None)
            return  # what keeps the portal's own events out keeps a canary out, and that it is missing says so
        self._last_sequence = receipt.sequence
