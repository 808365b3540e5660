"""Charts as SVG, drawn here: what a page needs to draw them without a script, and their figures for a table beside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from math import log10

from portalbus.streams.reading.due import DueDay
from portalbus.streams.reading.pace import Pace

WIDTH, HEIGHT = 480.0, 120.0
GAP = 2.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One column, in the units of the picture; `refused` is the height of its upper part."""

    x: float
    y: float
    width: float
    height: float
    refused: float


@dataclass(frozen=True, slots=True)
class RateChart:
    """Events per half hour; `top` is the value at the upper edge."""

    bars: tuple[Bar, ...]
    top: int
    total: int
    refused: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class LatencyChart:
    """Median and 95th percentile per half hour on a logarithmic scale, as points of polylines; one line a stretch."""

    medians: tuple[str, ...]
    p95s: tuple[str, ...]
    grid: tuple[tuple[float, float], ...]
    worst_s: float
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class DueBar:
    """One day: a column of what was answered in time at the bottom, what is late on it, what is owed yet on top."""

    x: float
    width: float
    in_time: tuple[float, float]
    late: tuple[float, float]
    owed: tuple[float, float]


@dataclass(frozen=True, slots=True)
class DueChart:
    """Answers per day on which they are due; parts of columns are (y, height). `today` is where that day begins."""

    bars: tuple[DueBar, ...]
    top: int
    in_time: int
    late: int
    owed: int
    first: date
    last: date
    today: float


def rate_chart(rows: Sequence[Pace]) -> RateChart:
    """A chart of how many events came."""
    top = _round_up(max((row.events for row in rows), default=0))
    step = WIDTH / max(len(rows), 1)
    bars = tuple(
        Bar(
            round(number * step, 1),
            round(HEIGHT * (1 - row.events / top), 1),
            round(step - GAP, 1),
            round(HEIGHT * row.events / top, 1),
            round(HEIGHT * row.refused / top, 1),
        )
        for number, row in enumerate(rows)
        if row.events
    )
    refused = sum(row.refused for row in rows)
    return RateChart(bars, top, sum(row.events for row in rows), refused, rows[0].at, rows[-1].at)


def latency_chart(rows: Sequence[Pace]) -> LatencyChart | None:
    """A chart of how long they took; None when nothing was accepted."""
    known = [row.p95_s for row in rows if row.p95_s is not None]
    if not known:
        return None
    low, high = -2, max(1, _power_above(max(known)))

    def height(seconds: float) -> float:
        share = (log10(max(seconds, 10.0**low)) - low) / (high - low)
        return round(HEIGHT * (1 - share), 1)

    step = WIDTH / len(rows)
    grid = tuple((height(10.0**power), 10.0**power) for power in range(low, high + 1))
    medians = _lines([(number, row.median_s) for number, row in enumerate(rows)], step, height)
    p95s = _lines([(number, row.p95_s) for number, row in enumerate(rows)], step, height)
    return LatencyChart(medians, p95s, grid, max(known), rows[0].at, rows[-1].at)


def due_chart(rows: Sequence[DueDay], today: date) -> DueChart:
    """A chart of the answers that are due, day by day."""
    top = _round_up(max((row.due for row in rows), default=0))
    step = WIDTH / max(len(rows), 1)

    def part(below: int, count: int) -> tuple[float, float]:
        height = HEIGHT * count / top
        return (round(HEIGHT * (1 - below / top) - height, 1), round(height, 1))

    bars = tuple(
        DueBar(
            round(number * step + step * 0.15, 1),
            round(step * 0.7, 1),
            part(0, row.in_time),
            part(row.in_time, row.late),
            part(row.in_time + row.late, row.owed),
        )
        for number, row in enumerate(rows)
        if row.due
    )
    return DueChart(
        bars,
        top,
        sum(row.in_time for row in rows),
        sum(row.late for row in rows),
        sum(row.owed for row in rows),
        rows[0].day,
        rows[-1].day,
        round(sum(row.day < today for row in rows) * step, 1),
    )


def _lines(
    values: Sequence[tuple[int, float | None]], step: float, height: Callable[[float], float]
) -> tuple[str, ...]:
    lines: list[list[str]] = [[]]
    for number, value in values:
        if value is None:
            lines.append([])
        else:
            y = height(value)
            # A stretch of one value is a short dash.
            lines[-1] += [f"{number * step + step * 0.2:.1f},{y}", f"{number * step + step * 0.8:.1f},{y}"]
    return tuple(" ".join(line) for line in lines if line)


def _round_up(value: int) -> int:
    """The next of 1, 2, 5, 10, 20, 50 …"""
    if value <= 1:
        return 1
    power = 10 ** int(log10(value))
    return next(int(factor * power) for factor in (1, 2, 5, 10) if factor * power >= value)


def _power_above(value: float) -> int:
    power = 0
    while 10.0**power < value:
        power += 1
    return power
