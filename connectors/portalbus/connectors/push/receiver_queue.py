"""What one receiver still has to get, and what may be sent to it now. Pure: time and chance are given.

Deliveries of one key go out one after the other, in the order of their numbers: the next one only when the one before
has arrived. One that fails holds up its own key alone; one that was given up holds it until somebody decides.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from portalbus.connectors.push.retrying import Retrying

SILENT_AFTER = 3
"""A receiver that gave no answer so often in a row is probed with one delivery at a time."""


@dataclass(slots=True)
class Waiting:
    """A delivery that has not arrived. `number` is its message's place in the order; times are seconds since 1970."""

    number: int
    key: str
    due_at: float = 0.0
    failures: int = 0
    first_failed_at: float | None = None
    given_up: bool = False
    unanswered: bool = False
    """Its last failure was the receiver's silence: it is tried again as soon as the receiver is back."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a delivery did not arrive. `silent` when the receiver as a whole did not answer, or asked to be left alone;
    `pause` is how many seconds it asked for."""

    what: str
    silent: bool = False
    pause: float = 0.0
    final: bool = False
    """The receiver said that it will never take it."""


@dataclass(slots=True)
class ReceiverQueue:
    """The deliveries of one receiver; at most `room` of them are under way at a time."""

    retrying: Retrying = field(default_factory=Retrying)
    room: int = 4
    _waiting: dict[int, Waiting] = field(default_factory=dict)
    _keys: dict[str, deque[Waiting]] = field(default_factory=dict)
    _heads: list[tuple[float, int]] = field(default_factory=list)
    _under_way: set[int] = field(default_factory=set)
    _unanswered: int = 0
    _rest_until: float = 0.0

    def add(self, delivery: Waiting) -> None:
        """Takes a delivery in, behind those of its key; one that is known already changes nothing.

        Raises ValueError when a later one of its key is here already.
        """
        if delivery.number in self._waiting:
            return
        row = self._keys.setdefault(delivery.key, deque())
        if row and row[-1].number > delivery.number:
            raise ValueError(f"delivery {delivery.number} comes after {row[-1].number} of the same key")
        row.append(delivery)
        self._waiting[delivery.number] = delivery
        if len(row) == 1:
            self._offer(delivery)

    def next(self, now: float) -> Waiting | None:
        """A delivery to send now, which is then under way; None when there is none."""
        if now < self._rest_until or len(self._under_way) >= self._most_under_way:
            return None
        self._drop_stale()
        if not self._heads or self._heads[0][0] > now:
            return None
        found = self._waiting[heapq.heappop(self._heads)[1]]
        self._under_way.add(found.number)
        return found

    def wake_at(self) -> float | None:
        """When `next` may have something, if nothing happens before; None when only a change can bring it."""
        self._drop_stale()
        if not self._heads or len(self._under_way) >= self._most_under_way:
            return None
        return max(self._heads[0][0], self._rest_until)

    def delivered(self, number: int, now: float) -> int:
        """It has arrived: the next one of its key is free, and the receiver is awake. Gives the attempts."""
        self._under_way.discard(number)
        gone = self._waiting.pop(number, None)
        if gone is not None:
            row = self._keys[gone.key]
            row.remove(gone)
            if not row:
                del self._keys[gone.key]
            else:
                self._offer(row[0])
        self._hear(now)
        return 1 if gone is None else gone.failures + 1

    def failed(self, number: int, why: Failure, now: float, chance: float) -> Waiting | None:
        """It has not arrived; gives the delivery as it stands now, None when it is not wanted any more."""
        self._under_way.discard(number)
        if why.silent:
            self._unanswered += 1
            if self._unanswered >= SILENT_AFTER or why.pause:
                rest = self.retrying.rest(self._unanswered - SILENT_AFTER + 1, chance)
                self._rest_until = now + max(rest, min(why.pause, self.retrying.longest))
        else:
            self._hear(now)
        delivery = self._waiting.get(number)
        if delivery is None:
            return None
        delivery.failures += 1
        delivery.unanswered = why.silent
        delivery.first_failed_at = now if delivery.first_failed_at is None else delivery.first_failed_at
        delivery.given_up = why.final or now - delivery.first_failed_at >= self.retrying.over
        pause = self.retrying.pause(delivery.failures, chance)
        delivery.due_at = now + max(pause, min(why.pause, self.retrying.longest))
        self._offer(delivery)
        return delivery

    def replace(self, deliveries: Iterable[Waiting]) -> None:
        """Holds these instead of what it held; what is under way stays so."""
        self._waiting, self._keys, self._heads = {}, {}, []
        for delivery in deliveries:
            self.add(delivery)

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def _most_under_way(self) -> int:
        return 1 if self._unanswered >= SILENT_AFTER else self.room

    def _offer(self, head: Waiting) -> None:
        if not head.given_up:
            heapq.heappush(self._heads, (head.due_at, head.number))

    def _drop_stale(self) -> None:
        """Takes away what is no head any more, is under way, or is due at another time than it was."""
        while self._heads and not self._stands(*self._heads[0]):
            heapq.heappop(self._heads)

    def _stands(self, due_at: float, number: int) -> bool:
        delivery = self._waiting.get(number)
        return (
            delivery is not None
            and delivery.due_at == due_at
            and not delivery.given_up
            and number not in self._under_way
            and self._keys[delivery.key][0] is delivery
        )

    def _hear(self, now: float) -> None:
        """The receiver answers: if it had been silent, what waited only for that need not wait longer."""
        was_silent = self._unanswered >= SILENT_AFTER
        self._unanswered, self._rest_until = 0, 0.0
        for row in self._keys.values() if was_silent else ():
            if row[0].unanswered and row[0].due_at > now and row[0].number not in self._under_way:
                row[0].due_at = now
                self._offer(row[0])
