"""Writes legal_dates.csv: due dates with their arithmetic, for people to check by hand.

Counts in its own way and knows nothing of the code that it is a test for: days off are listed here by hand, a term is
the n-th of a list of days, and the terms of the regimes are written down once more. Run it only to add lines:
`python tests/data/write_legal_dates.py > tests/data/legal_dates.csv`.
"""

from __future__ import annotations

import csv
import sys
from datetime import date, timedelta

DAY = timedelta(days=1)
NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
OFF = """
2024-01-01
2024-02-08 2024-02-09 2024-02-10 2024-02-11 2024-02-12 2024-02-13 2024-02-14
2024-04-18 2024-04-29 2024-04-30 2024-05-01 2024-09-02 2024-09-03
2025-01-01
2025-01-27 2025-01-28 2025-01-29 2025-01-30 2025-01-31 2025-02-01
2025-04-07 2025-04-30 2025-05-01 2025-05-02 2025-09-01 2025-09-02
2026-01-01
2026-02-16 2026-02-17 2026-02-18 2026-02-19 2026-02-20
2026-04-26 2026-04-27 2026-04-30 2026-05-01 2026-08-31 2026-09-01 2026-09-02 2026-11-24
2027-01-01
2027-02-04 2027-02-05 2027-02-06 2027-02-07 2027-02-08 2027-02-09 2027-02-10
2027-04-16 2027-04-30 2027-05-01 2027-05-03 2027-09-02 2027-09-03 2027-11-24
"""
SATURDAYS_WORKED = "2024-05-04 2025-04-26 2026-08-22"
OFF_DAYS = {date.fromisoformat(word) for word in OFF.split()}
WORKED = {date.fromisoformat(word) for word in SATURDAYS_WORKED.split()}

# regime, duty, days, working or calendar days
TERMS = (
    ("R1", "PASS_ON", 5, "w"),
    ("R2", "ANSWER", 20, "c"),
    ("R3", "ANSWER", 20, "c"),
    ("R4", "PASS_ON", 2, "w"),
    ("R4", "ANSWER", 15, "c"),
    ("R5", "ANSWER", 10, "w"),
    ("R5", "REFUSE", 3, "w"),
    ("R6", "PASS_ON", 1, "w"),
    ("R6", "ANSWER", 7, "w"),
    ("R7", "PASS_ON", 1, "w"),
    ("R7", "ANSWER", 15, "w"),
)
ALLOWANCE = {"R2": 20, "R3": 20, "R4": 15, "R6": 7, "R7": 15}
UNIT = {"w": "working", "c": "calendar"}

# Ordinary weeks, Tết of three years, days swapped, month and year ends, a leap day, Saturdays and Sundays, the last
# minute before midnight and the first one after it.
RECEIVED = (
    "2024-01-30 09:15", "2024-02-07 16:59", "2024-02-29 08:00", "2024-04-17 10:00", "2024-04-26 17:30",
    "2024-08-30 23:59", "2024-12-31 14:00", "2025-01-24 11:20", "2025-02-28 09:00", "2025-04-04 15:45",
    "2025-04-25 08:05", "2025-08-29 13:00", "2026-01-31 10:10", "2026-02-13 16:45", "2026-02-15 20:00",
    "2026-04-24 09:30", "2026-04-29 00:00", "2026-08-21 17:00", "2026-08-28 07:30", "2026-10-31 12:00",
    "2026-11-20 23:59", "2026-11-23 00:01", "2026-12-30 09:00", "2027-02-03 08:00", "2027-04-30 06:00",
)  # fmt: skip


def said(day: date) -> str:
    return f"{NAMES[day.weekday()]} {day.day}/{day.month}"


def works(day: date) -> bool:
    return day in WORKED or (day.weekday() < 5 and day not in OFF_DAYS)


def plural(days: int) -> str:
    return "day" if days == 1 else "days"


def runs(days: list[date]) -> str:
    """Days in a row as first–last."""
    parts: list[list[date]] = []
    for day in days:
        if parts and day - parts[-1][-1] == DAY:
            parts[-1].append(day)
        else:
            parts.append([day])
    return ", ".join(said(part[0]) if len(part) == 1 else f"{said(part[0])}–{said(part[-1])}" for part in parts)


def counted(start: date, days: int, unit: str, paused: set[date]) -> tuple[date, str, date]:
    """The last day, the arithmetic in words, and the day before a move to the next working day."""
    after = [start + number * DAY for number in range(1, 400)]
    candidates = [day for day in after if day not in paused and (unit == "c" or works(day))]
    raw = candidates[days - 1]
    last = next(
        day for day in [raw, *[raw + number * DAY for number in range(1, 400)]] if works(day) and day not in paused
    )
    words = [f"day 1 is {said(candidates[0])}"]
    within = [day for day in after if day <= raw]
    held = [day for day in within if day in paused]
    if held:
        words.append(f"not counted because paused: {runs(held)}")
    if unit == "w":
        off = [day for day in within if not works(day) and day not in paused]
        if off:
            words.append(f"not worked: {runs(off)}")
        swapped = [day for day in within if day in WORKED and day not in paused]
        if swapped:
            words.append(f"worked although a Saturday: {runs(swapped)}")
    if days > 1:
        words.append(f"day {days} is {said(raw)}")
    if last != raw:
        skipped = [raw + number * DAY for number in range((last - raw).days)]
        words.append(f"off or paused: {runs(skipped)}, so {said(last)}")
    return last, "; ".join(words), raw


def span(first: str, last: str) -> set[date]:
    start, end = date.fromisoformat(first), date.fromisoformat(last)
    return {start + number * DAY for number in range((end - start).days + 1)}


def line(regime: str, duty: str, received: str, due: date, arithmetic: str, **given: str) -> dict[str, str]:
    return {
        "regime": regime,
        "duty": duty,
        "received": received,
        "paused": "",
        "extended": "",
        "notices": "",
        "answered": "",
        "due_on": due.isoformat(),
        "arithmetic": arithmetic,
        **given,
    }


def plain() -> list[dict[str, str]]:
    found = []
    for received in RECEIVED:
        for regime, duty, days, unit in TERMS:
            if regime == "R4" and received < "2025-02-05":
                continue  # not in force yet
            due, words, _ = counted(date.fromisoformat(received[:10]), days, unit, set())
            found.append(
                line(
                    regime,
                    duty,
                    received,
                    due,
                    f"{days} {UNIT[unit]} {plural(days)} from {said(date.fromisoformat(received[:10]))}: {words}",
                )
            )
    return found


PAUSES = (
    ("R2", "2026-03-02 09:00", "2026-03-10 2026-03-13"),
    ("R2", "2026-03-02 09:00", "2026-03-22 2026-03-25"),
    ("R2", "2026-02-02 10:00", "2026-02-20 2026-02-26"),
    ("R2", "2026-02-02 10:00", "2026-02-22 2026-02-24"),
    ("R2", "2026-03-02 09:00", "2026-03-24 2026-03-27"),
    ("R3", "2026-03-02 09:00", "2026-03-02 2026-03-04"),
    ("R3", "2026-05-15 09:00", "2026-05-20 2026-05-20"),
    ("R4", "2026-05-15 09:00", "2026-05-18 2026-05-22"),
    ("R4", "2026-05-15 09:00", "2026-05-18 2026-05-19,2026-05-25 2026-05-26"),
    ("R4", "2025-12-20 09:00", "2025-12-29 2026-01-05"),
    ("R5", "2026-02-09 14:00", "2026-02-11 2026-02-24"),
    ("R5", "2026-02-09 14:00", "2026-02-13 2026-02-23"),
    ("R5", "2026-04-20 08:00", "2026-04-25 2026-05-02"),
    ("R5", "2026-06-01 08:00", "2026-06-15 2026-06-17"),
    ("R5", "2026-06-01 08:00", "2026-06-16 2026-06-17"),
    ("R6", "2026-08-20 08:00", "2026-08-22 2026-08-22"),
    ("R6", "2026-08-20 08:00", "2026-08-21 2026-09-03"),
    ("R6", "2026-10-30 08:00", "2026-11-02 2026-11-04,2026-11-04 2026-11-06"),
    ("R7", "2027-01-20 09:00", "2027-02-01 2027-02-15"),
    ("R7", "2027-01-20 09:00", "2027-02-03 2027-02-11"),
    ("R7", "2026-11-02 09:00", "2026-11-23 2026-11-25"),
    ("R7", "2026-11-02 09:00", "2026-11-24 2026-11-24"),
    ("R7", "2024-04-15 09:00", "2024-04-26 2024-05-04"),
)


def paused() -> list[dict[str, str]]:
    found = []
    for regime, received, ranges in PAUSES:
        _, _, days, unit = next(term for term in TERMS if term[0] == regime and term[1] == "ANSWER")
        held: set[date] = set()
        for pair in ranges.split(","):
            held |= span(*pair.split())
        start = date.fromisoformat(received[:10])
        due, words, _ = counted(start, days, unit, held)
        found.append(
            line(
                regime,
                "ANSWER",
                received,
                due,
                f"{days} {UNIT[unit]} {plural(days)} from {said(start)}: {words}",
                paused=ranges,
            )
        )
    return found


EXTENSIONS = (
    ("R2", "2026-03-02 09:00", "2026-03-20 2026-03-30", ""),
    ("R2", "2026-03-02 09:00", "2026-03-20 2026-04-05", ""),
    ("R2", "2026-03-02 09:00", "2026-03-20 2026-05-29", ""),
    ("R2", "2026-03-02 09:00", "2026-03-24 2026-04-10", ""),
    ("R2", "2026-03-02 09:00", "2026-03-23 2026-04-10", ""),
    ("R2", "2026-03-02 09:00", "2026-03-10 2026-03-20", ""),
    ("R3", "2026-01-12 09:00", "2026-01-30 2026-02-18", ""),
    ("R4", "2026-05-15 09:00", "2026-05-28 2026-06-05", ""),
    ("R4", "2026-05-15 09:00", "2026-05-28 2026-06-30", ""),
    ("R4", "2026-05-15 09:00", "2026-05-28 2026-06-05,2026-06-03 2026-06-12", ""),
    ("R5", "2026-05-15 09:00", "2026-05-20 2026-06-12", ""),
    ("R6", "2026-08-10 09:00", "2026-08-18 2026-08-21", ""),
    ("R6", "2026-08-10 09:00", "2026-08-18 2026-08-22", ""),
    ("R6", "2026-08-10 09:00", "2026-08-18 2026-09-18", ""),
    ("R6", "2026-08-10 09:00", "2026-08-18 2026-08-31", ""),
    ("R7", "2026-01-19 09:00", "2026-02-06 2026-02-13", ""),
    ("R7", "2026-01-19 09:00", "2026-02-06 2026-02-17", ""),
    ("R7", "2026-01-19 09:00", "2026-02-06 2026-03-31", ""),
    ("R7", "2026-10-12 09:00", "2026-10-30 2026-11-10", "2026-11-04 2026-11-06"),
    ("R7", "2026-10-12 09:00", "2026-10-30 2026-11-10", "2026-10-20 2026-10-22"),
    ("R2", "2026-03-02 09:00", "2026-03-20 2026-03-30", "2026-03-25 2026-03-28"),
    ("R2", "2026-03-02 09:00", "2026-03-25 2026-04-03", "2026-03-10 2026-03-13"),
)


def extended() -> list[dict[str, str]]:
    found = []
    for regime, received, told_and_until, ranges in EXTENSIONS:
        _, _, days, unit = next(term for term in TERMS if term[0] == regime and term[1] == "ANSWER")
        start, length, left, words = date.fromisoformat(received[:10]), days, 1, []
        pauses = [pair.split() for pair in ranges.split(",") if pair]
        for pair in told_and_until.split(","):
            told, until = (date.fromisoformat(word) for word in pair.split())
            known: set[date] = set()
            for first, last in pauses:
                if date.fromisoformat(first) <= told:
                    known |= span(first, last)
            due, _, raw = counted(start, length, unit, known)
            if regime not in ALLOWANCE:
                words.append(f"{regime} knows no extension")
            elif left == 0:
                words.append(f"a second extension, told on {said(told)}, does not count")
            elif told > due:
                words.append(f"the extension, told on {said(told)}, came after {said(due)} and does not count")
            else:
                goal = next(until + number * DAY for number in range(60) if works(until + number * DAY))
                more = len(
                    [
                        raw + number * DAY
                        for number in range(1, (goal - raw).days + 1)
                        if unit == "c" or works(raw + number * DAY)
                    ]
                )
                given = min(more, ALLOWANCE[regime])
                to = said(until) if goal == until else f"{said(until)}, which is off, so {said(goal)},"
                words.append(
                    f"extended to {to} {more} {UNIT[unit]} days after {said(raw)}"
                    + (f" of which {given} are allowed" if given < more else "")
                )
                length, left = length + given, left - 1
        held: set[date] = set()
        for first, last in pauses:
            held |= span(first, last)
        due, reckoned, _ = counted(start, length, unit, held)
        plus = f"{days} + {length - days}" if length > days else f"{days}"
        arithmetic = f"{'; '.join(words)}; {plus} {UNIT[unit]} days from {said(start)}: {reckoned}"
        found.append(line(regime, "ANSWER", received, due, arithmetic, extended=told_and_until, paused=ranges))
    return found


NOTICES = (
    ("2026-03-02 09:00", ""),
    ("2026-03-02 09:00", "2026-03-27"),
    ("2026-03-02 09:00", "2026-03-27,2026-04-03"),
    ("2026-02-02 09:00", ""),
    ("2026-02-02 09:00", "2026-02-25"),
    ("2026-04-03 09:00", ""),
    ("2026-04-03 09:00", "2026-04-28"),
    ("2026-08-05 09:00", ""),
    ("2026-08-05 09:00", "2026-08-26"),
    ("2026-11-01 09:00", ""),
    ("2026-11-01 09:00", "2026-11-24,2026-11-30"),
    ("2027-01-12 09:00", ""),
)


def progress() -> list[dict[str, str]]:
    """The first notice that is due after those told, each of them in time."""
    found = []
    for received, notices in NOTICES:
        start = date.fromisoformat(received[:10])
        base, _, _ = counted(start, 20, "c", set())
        words = f"the answer was due on {said(base)}"
        for notice in filter(None, notices.split(",")):
            base = date.fromisoformat(notice)
            words = f"the last notice was told on {said(base)}"
        due, reckoned, _ = counted(base, 7, "c", set())
        found.append(
            line("R2", "PROGRESS", received, due, f"{words}; 7 calendar days from it: {reckoned}", notices=notices)
        )
    return found


def published() -> list[dict[str, str]]:
    found = []
    for answered in (
        "2026-02-12",
        "2026-02-13",
        "2026-04-23",
        "2026-08-19",
        "2026-08-27",
        "2026-11-18",
        "2026-11-21",
        "2027-01-29",
    ):
        for regime in ("R1", "R4"):
            start = date.fromisoformat(answered)
            received = f"{start - 3 * DAY} 10:00"
            due, words, _ = counted(start, 5, "w", set())
            found.append(
                line(
                    regime,
                    "PUBLISH",
                    received,
                    due,
                    f"5 working days from the answer on {said(start)}: {words}",
                    answered=answered,
                )
            )
    return found


def main() -> None:
    rows = [*plain(), *paused(), *extended(), *progress(), *published()]
    writer = csv.DictWriter(sys.stdout, ["number", *rows[0]], lineterminator="\n")
    writer.writeheader()
    for number, row in enumerate(rows, 1):
        writer.writerow({"number": str(number), **row})


if __name__ == "__main__":
    main()
