"""A season of many sources, simulated: when each event type was published, by habits that differ as portals differ.

Shares no code with what it tests but the calendar: habits are drawn from a seed, and events from habits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from random import Random

from portalbus.schemas.working_time import WorkingTime
from portalbus.schemas.zone import ZONE

EVENT_TYPES = ("DirectivePublished", "FeedbackReceived", "FeedbackResolved")


class Habit(StrEnum):
    """How an office publishes."""

    STEADY = "steady"
    BURSTS = "bursts"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


@dataclass(frozen=True)
class Manner:
    """One event type of one source: `rate` events a working day, that much less on other days and at night."""

    habit: Habit
    rate: float
    day: int
    weekend: float
    night: float
    swing: float
    phase: float
    burst: int

    @classmethod
    def drawn(cls, random: Random) -> Manner:
        """A manner that some portal may have: from one event a week to 120 a day, with a season that swings."""
        habit = random.choice([Habit.STEADY] * 4 + [Habit.BURSTS, Habit.WEEKLY, Habit.MONTHLY])
        low, high = (2.0, 100.0) if habit is Habit.BURSTS else (0.2, 120.0)
        return cls(
            habit=habit,
            rate=math.exp(random.uniform(math.log(low), math.log(high))),
            day=random.randrange(3, 26) if habit is Habit.MONTHLY else random.randrange(5),
            weekend=random.choice([0.0, 0.0, 0.05, 0.3]),
            night=random.choice([0.0, 0.1, 0.3]),
            swing=random.choice([0.0, 0.2, 0.5]),
            phase=random.uniform(0, 2 * math.pi),
            burst=random.choice([5, 20]),
        )

    def events(self, random: Random, first: date, days: int, working: WorkingTime) -> list[datetime]:
        """When it was published, in order (UTC)."""
        found: list[datetime] = []
        owed = False
        for number in range(days):
            day = first + timedelta(days=number)
            worked = working.is_worked(day)
            if self.habit is Habit.MONTHLY:
                owed = owed or day.day == self.day
                if owed and worked and random.random() < 0.7:  # a day or two late, now and then
                    owed = False
                    found.append(_at(day, random.uniform(8, 17)))
            elif self.habit is Habit.WEEKLY:
                if worked and day.weekday() == self.day and random.random() < 0.95:
                    found += [_at(day, random.uniform(8, 17)) for _ in range(random.randrange(1, 5))]
            else:
                season = math.exp(self.swing * math.sin(2 * math.pi * number / 120 + self.phase))
                found += self._on(random, day, self.rate * season * (1.0 if worked else self.weekend))
        return sorted(found)

    def _on(self, random: Random, day: date, expected: float) -> Iterator[datetime]:
        if self.habit is Habit.BURSTS:
            for _ in range(_poisson(random, expected / self.burst)):
                start = _at(day, random.uniform(8, 17))
                for _ in range(1 + int(random.expovariate(1 / self.burst))):
                    start += timedelta(seconds=random.randrange(120))
                    yield start
            return
        for _ in range(_poisson(random, expected)):
            busy = random.gauss(random.choice([10.0, 15.0]), 1.3)
            yield _at(day, random.uniform(0, 24) if random.random() < self.night else min(max(busy, 7), 19))


def _at(day: date, hour: float) -> datetime:
    return (datetime.combine(day, time(), ZONE) + timedelta(hours=hour)).astimezone(UTC)


def _poisson(random: Random, expected: float) -> int:
    if expected > 50:
        return max(0, round(random.gauss(expected, math.sqrt(expected))))
    limit, count, product = math.exp(-expected), 0, random.random()
    while product > limit:
        count += 1
        product *= random.random()
    return count
