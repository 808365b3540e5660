"""What is usual: how many feedbacks of each series come in each hour of each kind of day, learned day by day.

Half of what was learned is forgotten within ten days of a kind. A series with little history leans on its share of the
country. Hours far above what is usual are cut before they are learned, so that a surge does not become usual; after
five worked days in a row it does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from math import sqrt

from portalbus.schemas.law.calendar import WorkingCalendar
from portalbus.streams.warning.days import CLASSES, OFF, Group, class_of, group_of
from portalbus.streams.warning.series import COUNTRY, Series

HOURS = 24
KEPT_A_DAY = 0.933
"""Half is forgotten in ten days of a group."""
LEANING_DAYS = 3.0
"""Days of the country's share that a series' own memory is mixed with."""
LEARNING_DAYS = 14
"""Before so many days nothing is cut and nothing is judged."""
LEAST_A_DAY = 0.5
"""A series that hardly ever speaks is expected to speak so often: its first words are no surge."""
NEW_USUAL_DAYS = 5
HIGH, CUT = 1.7, 2.0
KNOWN_CLASS_DAYS = 3.0
FACTOR_PRIOR = 2.0


@dataclass(slots=True)
class Memory:
    """What is remembered of a series: counts an hour, by group of days, with how many days they are from."""

    sums: list[list[float]] = field(default_factory=lambda: [[0.0] * HOURS for _ in Group])
    days: list[float] = field(default_factory=lambda: [0.0 for _ in Group])
    spread: float = 4.0
    hours: float = 4.0
    high_days: int = 0

    @property
    def total(self) -> float:
        """Everything that is remembered, a count."""
        return sum(map(sum, self.sums))


class History:
    """Learns days, in order, and says what to expect. A function of the days that it was given and nothing else."""

    def __init__(self, calendar: WorkingCalendar) -> None:
        self._calendar = calendar
        self._memories: dict[Series, Memory] = {COUNTRY: Memory()}
        self._seen = [0.0] * CLASSES
        self._factor_seen = [FACTOR_PRIOR] * CLASSES
        self._factor_expected = [FACTOR_PRIOR] * CLASSES
        self.learned_days = 0
        self.last_day: date | None = None

    def __len__(self) -> int:
        return len(self._memories)

    @property
    def is_known(self) -> bool:
        """True when enough days were learned to judge by."""
        return self.learned_days >= LEARNING_DAYS

    @property
    def weekly(self) -> float:
        """Feedbacks a week that are usual in the country."""
        rates = self._rates(COUNTRY)
        return 5 * sum(rates[Group.WORKED]) + 2 * sum(rates[Group.WEEKEND])

    def learn(self, day: date, counts: Mapping[Series, Sequence[int]]) -> None:
        """Learns one day: counts an hour (24 numbers) of each field in each area; what is missing was zero."""
        class_ = class_of(self._calendar, day)
        group = group_of(class_)
        totals = _with_parents(counts)
        self._learn_factor(class_, group, sum(totals.get(COUNTRY, ())))
        factor = self._factor(class_)
        for series in totals.keys() - self._memories.keys():
            self._memories[series] = Memory()
        usual = {series: self.expected(series, day) for series in self._memories} if self.is_known else {}
        nothing = [0] * HOURS
        for series, memory in self._memories.items():
            _learn(memory, group, totals.get(series, nothing), usual.get(series), factor)
        self._seen[class_] = self._seen[class_] * KEPT_A_DAY + 1
        self.learned_days += 1
        self.last_day = day

    def expected(self, series: Series, day: date) -> list[float]:
        """How many feedbacks are usual in each hour of a day (24 numbers)."""
        class_ = class_of(self._calendar, day)
        factor = self._factor(class_)
        return [rate * factor for rate in self._rates(series)[group_of(class_)]]

    def margin(self, series: Series, day: date) -> float:
        """By which factor what is usual may be wrong: days differ, and a short memory says little."""
        memory = self._memories.get(series)
        known = memory.total if memory is not None else 0.0
        margin = 1.3 + 1.5 / sqrt(known + 4)
        class_ = class_of(self._calendar, day)
        return margin + (0.5 if class_ >= OFF - 1 and self._seen[class_] < KNOWN_CLASS_DAYS else 0)

    def noise(self, series: Series) -> float:
        """How much more than chance the counts of an hour scatter: variance over mean, 1 at least."""
        memory = self._memories.get(series)
        return max(1.0, memory.spread / memory.hours) if memory is not None else 1.2

    def _rates(self, series: Series) -> list[list[float]]:
        country, own = self._memories[COUNTRY], self._memories.get(series)
        total = country.total
        share = own.total / total if own is not None and total else 0.0
        rates: list[list[float]] = []
        for group in Group:
            usual = self._country_rates(country, group)
            if series == COUNTRY:
                rates.append(usual)
                continue
            sums, days = (own.sums[group], own.days[group]) if own is not None else ([0.0] * HOURS, 0.0)
            weight = days + LEANING_DAYS
            floor = LEAST_A_DAY / HOURS
            rates.append(
                [
                    max((mine + LEANING_DAYS * share * all_) / weight, floor)
                    for mine, all_ in zip(sums, usual, strict=True)
                ]
            )
        return rates

    def _country_rates(self, country: Memory, group: Group) -> list[float]:
        if country.days[group] > 0:
            return [count / country.days[group] for count in country.sums[group]]
        if group is Group.OFF and country.days[Group.WEEKEND] > 0:  # no holiday was seen yet: as on a Sunday
            return self._country_rates(country, Group.WEEKEND)
        if group is not Group.WORKED:
            return self._country_rates(country, Group.WORKED)
        return [0.0] * HOURS

    def _factor(self, class_: int) -> float:
        return self._factor_seen[class_] / self._factor_expected[class_]

    def _learn_factor(self, class_: int, group: Group, total: int) -> None:
        """How the days of a class differ from the others of their group."""
        country = self._memories[COUNTRY]
        if country.days[group] < 2:
            return
        usual = sum(self._country_rates(country, group))
        if usual > 0:
            ratio = min(max(total / usual, 0.2), 3.0)
            self._factor_seen[class_] = self._factor_seen[class_] * KEPT_A_DAY + ratio
            self._factor_expected[class_] = self._factor_expected[class_] * KEPT_A_DAY + 1


def _learn(memory: Memory, group: Group, counts: Sequence[int], usual: Sequence[float] | None, factor: float) -> None:
    learned: Iterable[float] = counts
    if usual is not None:
        _learn_spread(memory, counts, usual)
        high = group is Group.WORKED and sum(counts) > HIGH * sum(usual) + 3
        memory.high_days = memory.high_days + 1 if high else 0 if group is Group.WORKED else memory.high_days
        if memory.high_days >= NEW_USUAL_DAYS:
            memory.high_days = 0
            _forget(memory)
        else:
            learned = [min(count, CUT * one + 3 * sqrt(one) + 3) for count, one in zip(counts, usual, strict=True)]
    sums = memory.sums[group]
    memory.sums[group] = [kept * KEPT_A_DAY + count / factor for kept, count in zip(sums, learned, strict=True)]
    memory.days[group] = memory.days[group] * KEPT_A_DAY + 1


def _learn_spread(memory: Memory, counts: Sequence[int], usual: Sequence[float]) -> None:
    for count, one in zip(counts, usual, strict=True):
        if one >= 1:
            memory.spread = memory.spread * 0.998 + min((count - one) ** 2 / one, 20.0)
            memory.hours = memory.hours * 0.998 + 1


def _forget(memory: Memory) -> None:
    """What came for a week is usual from now on: little is kept of what was before."""
    for group in Group:
        kept = 1.0 / max(memory.days[group], 1.0)
        memory.sums[group] = [count * kept for count in memory.sums[group]]
        memory.days[group] *= kept


def _with_parents(counts: Mapping[Series, Sequence[int]]) -> dict[Series, list[int]]:
    totals: dict[Series, list[int]] = {}
    for series, hours in counts.items():
        for one in (series, *series.parents()):
            known = totals.get(one)
            totals[one] = [a + b for a, b in zip(known, hours, strict=True)] if known else list(hours)
    return totals
