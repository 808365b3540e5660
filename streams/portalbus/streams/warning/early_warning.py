"""Early warning over one connection: fills itself from the ledger, takes what the topics bring, tells people."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import structlog
from psycopg import Connection

from portalbus.schemas.case_rules import REFUSALS
from portalbus.schemas.codec import WriterSchemas, decode
from portalbus.schemas.errors import UndecodableRecord
from portalbus.schemas.law.calendar import WorkingCalendar
from portalbus.schemas.models import Event, FeedbackReceived, FeedbackResolved
from portalbus.schemas.zone import ZONE
from portalbus.streams.warning.days import ONE_DAY
from portalbus.streams.warning.likeness import BOUNDS, Alike, Kind, LikenessWatch
from portalbus.streams.warning.places import area_of
from portalbus.streams.warning.reading import (
    Received,
    Refused,
    days_before,
    read_days,
    read_received,
    read_refused,
    snapshot,
)  # fmt: skip
from portalbus.streams.warning.series import Series
from portalbus.streams.warning.telling import open_likenesses, open_surges, tell
from portalbus.streams.warning.watch import Surge, SurgeWatch

log = structlog.get_logger(__name__)

TEXT_DAYS = 60
"""How far back texts are compared after a start."""
BATCH = 1_000
T = TypeVar("T")


class EarlyWarning:
    """Watches feedback. Not thread-safe: one thread calls it. Raises psycopg.Error.

    `load` reads the ledger up to a position; what the topics bring from before it is passed over, so nothing is counted
    twice and nothing is missed.
    """

    def __init__(
        self,
        connection: Connection[Any],
        writers: WriterSchemas,
        calendar: WorkingCalendar,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._connection = connection
        self._writers = writers
        self._calendar = calendar
        self._clock = clock
        self._surges = SurgeWatch(calendar)
        self._likenesses = LikenessWatch()
        self._untold: deque[list[Surge | Alike]] = deque()
        self._position = 0

    def load(self) -> None:
        """Forgets everything, and fills itself from the ledger as it is now."""
        now = self._clock()
        today = now.astimezone(ZONE).date()
        with snapshot(self._connection) as position:
            self._surges = SurgeWatch(self._calendar, open_surges(self._connection))
            self._likenesses = LikenessWatch(open_likenesses(self._connection))
            for day in read_days(self._connection, today - ONE_DAY):
                self._surges.learn(day.day, day.counts)
            self._surges.turn_to(now)
            self._count(read_received(self._connection, today - ONE_DAY, texts=False), now)
            for many in _batches(read_received(self._connection, days_before(now, TEXT_DAYS), texts=True)):
                self._likenesses.received(many)
            since = now - BOUNDS[Kind.REFUSAL].span
            for refusals in _batches(read_refused(self._connection, since, now)):
                self._likenesses.refused(refusals)
        self._position = position
        log.info("warning.loaded", position=position, days=self._surges.history.learned_days, series=len(self._surges))

    def take(self, records: Iterable[tuple[int, bytes]]) -> int:
        """Takes records of canonical topics, each with its position in the ledger; returns how many were new."""
        received: list[Received] = []
        refused: list[Refused] = []
        now = self._clock()
        for position, value in records:
            event = self._event(position, value)
            if event is None:
                continue
            payload = event.payload
            if isinstance(payload, FeedbackReceived):
                received.append(_received(payload, event.envelope.agency, now))
            elif isinstance(payload, FeedbackResolved) and payload.outcome in REFUSALS and payload.reason_text:
                refused.append(
                    Refused(payload.case_id, event.envelope.agency, min(payload.answered_at, now), payload.reason_text)
                )
        self._count(received, now)
        self._likenesses.received(received)
        self._likenesses.refused(refused)
        return len(received) + len(refused)

    def look(self) -> int:
        """Tells what has changed; returns how many alerts were told. What it could not tell, the next look tells."""
        now = self._clock()
        changes: list[Surge | Alike] = [*self._surges.look(now), *self._likenesses.look(now)]
        if changes:
            self._untold.append(changes)
        count = 0
        while self._untold:
            told = tell(self._connection, self._untold[0], now)
            self._untold.popleft()
            for alert in told:
                log.warning("warning.alert", kind=alert.kind, status=alert.status.value, agency=alert.agency)
            count += len(told)
        return count

    def _event(self, position: int, value: bytes) -> Event | None:
        if position <= self._position:
            return None
        try:
            found = decode(value, self._writers)
        except UndecodableRecord as error:  # accepted by a newer release: what it says is not counted
            log.error("warning.unreadable", position=position, rule=error.rule)
            return None
        return found if isinstance(found, Event) else None

    def _count(self, many: Iterable[Received], now: datetime) -> None:
        for one in many:
            self._surges.count(one.series, min(one.received_at, now), one.code)


def _received(payload: FeedbackReceived, agency: str, now: datetime) -> Received:
    series = Series(payload.field or "", area_of(payload.area, agency))
    return Received(payload.public_code, min(payload.received_at, now), series, f"{payload.subject} {payload.content}")


def _batches(many: Iterable[T]) -> Iterable[Sequence[T]]:
    batch: list[T] = []
    for one in many:
        batch.append(one)
        if len(batch) >= BATCH:
            yield batch
            batch = []
    yield batch
