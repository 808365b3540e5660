"""What the scout leapt over: stretches of lanes that are looked through a slice at a time, beside what comes now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

SLICE = 2_000
"""Records looked through at once: some 30 ms, for which what comes now waits."""
WAIT_SECONDS = 0.02


@dataclass(slots=True)
class _Stretch:
    lane: str
    place: int
    end: int


class Backlog:
    """Stretches of lanes in the order in which they were leapt over; true while there are any.

    A lane's stretches follow each other, so what lies before the first of them is looked through.
    """

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._stretches: list[_Stretch] = []
        self._assigned: _Stretch | None = None

    def __bool__(self) -> bool:
        return bool(self._stretches)

    def add(self, lane: str, begin: int, end: int) -> None:
        """Notes a stretch, from one offset up to another one."""
        self._stretches.append(_Stretch(lane, begin, end))

    def begin(self, lane: str, otherwise: int) -> int:
        """Up to which offset a lane is looked through without a hole."""
        return min((one.place for one in self._stretches if one.lane == lane), default=otherwise)

    def read(self, check: Callable[[KafkaError], None]) -> list[Message]:
        """The next records of the first stretch; `check` raises for an error that nothing mends."""
        stretch = self._stretches[0]
        if self._assigned is not stretch:
            self._consumer.assign([TopicPartition(stretch.lane, 0, stretch.place)])
            self._assigned = stretch
        found: list[Message] = []
        for message in self._consumer.consume(SLICE, WAIT_SECONDS):
            if (error := message.error()) is not None:
                check(error)
                continue
            offset = message.offset() or 0
            if message.topic() == stretch.lane and stretch.place <= offset < stretch.end:
                found.append(message)
                stretch.place = offset + 1
        if stretch.place >= stretch.end:
            self._stretches.pop(0)
            if not self._stretches:
                self._consumer.unassign()
                self._assigned = None
        return found

    def close(self) -> None:
        """Closes the consumer."""
        self._consumer.close()
