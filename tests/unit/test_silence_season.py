"""43 sources over a quarter with Tết and the Hùng Kings' day: who stops is named, and who does not is left alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest

from portalbus.schemas.working_time import DAY_SECONDS, WorkingTime
from portalbus.streams.silence.cadence import Cadence, State
from portalbus.streams.silence.deadlines import PATIENCE, UNKNOWN, Deadlines, event_type_deadlines
from portalbus.streams.silence.learning import hear_all
from seeds import fresh_seed
from silence_season import EVENT_TYPES, Habit, Manner

SOURCES = 43
QUARTER = 90
LONGER_THAN_EVER, OF_WHOM_LITTLE_IS_KNOWN = 2.5, 5.0
"""How many times its longest gap so far an event type may be silent before it is named: where it comes every day, and
where it comes more seldom or in bursts, so that few gaps are known."""
FIRST = date(2026, 1, 29)
"""A quarter from here holds Tết (16 to 20 February), the Hùng Kings' day with its substitute, and Reunification Day."""
WORKING = WorkingTime.read()


@dataclass
class Ear:
    """Hears one event type, and notes each silence that it took for one."""

    cadence: Cadence = field(default_factory=Cadence)
    last: datetime | None = None
    alarms: list[datetime] = field(default_factory=list)

    @property
    def deadlines(self) -> Deadlines:
        if self.last is None:
            return UNKNOWN
        return event_type_deadlines(self.cadence, self.last, WORKING, PATIENCE.event_types)

    def hear(self, at: datetime) -> None:
        if self.last is not None and at - self.last < timedelta(minutes=1):
            return  # the ledger is read to the minute, too
        below_any_bound = self.last is None or WORKING.between(self.last, at) <= PATIENCE.event_types.silent
        if not below_any_bound and self.deadlines.state_at(at) is State.SILENT:
            self.alarms.append(at)
        self.last = hear_all(self.cadence, self.last, [at], WORKING, PATIENCE)


@pytest.mark.parametrize("known_for", [0, 120], ids=["from nothing", "known for four months"])
def test_fewer_than_one_false_alarm_a_source_and_quarter(known_for: int) -> None:
    random = Random(fresh_seed("false alarms"))
    start = datetime.combine(FIRST, datetime.min.time(), UTC)
    alarms: Counter[int] = Counter()
    for source in range(SOURCES):
        for _ in EVENT_TYPES:
            ear = Ear()
            manner = Manner.drawn(random)
            for at in manner.events(random, FIRST - timedelta(days=known_for), known_for + QUARTER, WORKING):
                ear.hear(at)
            alarms[source] += sum(at >= start for at in ear.alarms)
    total = alarms.total()
    print(
        f"{total} false alarms of {SOURCES} sources in {QUARTER} days: {total / SOURCES:.2f} a source;"
        f" at most {max(alarms.values())} of one"
    )
    assert total < SOURCES


def test_an_event_type_that_is_switched_off_is_named_within_its_bound() -> None:
    random = Random(fresh_seed("switched off"))
    delays: list[float] = []
    stretched: list[float] = []
    unknown = 0
    for _ in range(SOURCES):
        manner = Manner.drawn(random)
        off_at = datetime.combine(FIRST, datetime.min.time(), UTC) + timedelta(days=random.uniform(0, QUARTER))
        ear = Ear()
        before = manner.events(random, FIRST - timedelta(days=120), 120 + QUARTER, WORKING)
        heard = [at for at in before if at < off_at]
        for at in heard:
            ear.hear(at)
        if ear.deadlines.silent is None:
            unknown += 1
            continue
        gaps = [WORKING.between(a, b) for a, b in pairwise(heard)]
        silence = WORKING.between(heard[-1], ear.deadlines.silent)
        longest = max(gaps)
        regular = manner.habit is Habit.STEADY and manner.rate >= 1
        times = LONGER_THAN_EVER if regular else OF_WHOM_LITTLE_IS_KNOWN
        assert silence <= max(PATIENCE.event_types.silent, times * longest), (manner, silence, longest)
        stretched.append(silence / max(longest, PATIENCE.event_types.silent / times))
        assert ear.deadlines.state_at(ear.deadlines.silent) is not State.SILENT
        assert ear.deadlines.state_at(ear.deadlines.silent + timedelta(seconds=1)) is State.SILENT
        delays.append(silence / DAY_SECONDS)
    delays.sort()
    print(
        f"named after {delays[0]:.2f} to {delays[-1]:.1f} working days, half of them within"
        f" {delays[len(delays) // 2]:.2f}; {sorted(stretched)[len(stretched) // 2]:.2f} times the"
        f" longest gap before (median; most {max(stretched):.1f}); {unknown} of {SOURCES} not known well enough yet"
    )
    assert unknown <= SOURCES // 10
