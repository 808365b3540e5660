"""Numbers, dates, sizes and codes as each language writes them. Times are shown in Viet Nam's time."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

# Viet Nam has had UTC+7 without daylight saving time since 1975, so no time zone database is needed.
ICT = timezone(timedelta(hours=7), "ICT")
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
UNITS = ("B", "kB", "MB", "GB", "TB")


def number(value: object, language: str) -> str:
    """A whole number with its thousands separated."""
    separator = "." if language == "vi" else ","
    return f"{value:,}".replace(",", separator)


def day(value: date, language: str) -> str:
    """A date: 14/11/2024, 14 November 2024, 2024年11月14日."""
    if language == "en":
        return f"{value.day} {MONTHS[value.month - 1]} {value.year}"
    if language == "zh":
        return f"{value.year}年{value.month}月{value.day}日"
    return f"{value.day:02}/{value.month:02}/{value.year}"


def instant(value: datetime, language: str) -> str:
    """A time to the minute, in Viet Nam's time."""
    local = value.astimezone(ICT)
    clock = f"{local.hour:02}:{local.minute:02}"
    if language == "en":
        return f"{day(local.date(), language)}, {clock}"
    if language == "zh":
        return f"{day(local.date(), language)} {clock}"
    return f"{clock}, {day(local.date(), language)}"


def precise(value: datetime, language: str) -> str:
    """A time to the millisecond, in Viet Nam's time."""
    local = value.astimezone(ICT)
    return f"{day(local.date(), language)} {local:%H:%M:%S}.{local.microsecond // 1000:03}"


def later(seconds: float, language: str) -> str:
    """A stretch of time with its sign, in the unit that suits it."""
    size = abs(seconds)
    for bound, unit, value in (
        (1, "ms", f"{seconds * 1000:+.0f}"),
        (120, "s", f"{seconds:+.1f}"),
        (7_200, "min", f"{seconds / 60:+.0f}"),
        (float("inf"), "h", f"{seconds / 3_600:+.1f}"),
    ):
        if size < bound:
            return f"{value.replace('.', ',') if language == 'vi' else value}\u00a0{unit}"
    raise AssertionError("unreachable")


def machine(value: datetime) -> str:
    """A time for a `datetime` attribute."""
    return value.astimezone(ICT).isoformat(timespec="seconds")


def size(octets: int, language: str) -> str:
    """A file size in powers of 1,000 with at most one decimal."""
    value, unit = float(octets), UNITS[0]
    for unit in UNITS:
        if value < 999.5 or unit == UNITS[-1]:
            break
        value /= 1_000
    text = f"{value:.0f}" if unit == "B" or value >= 10 else f"{value:.1f}".removesuffix(".0")
    return f"{text.replace('.', ',') if language == 'vi' else text}\u00a0{unit}"


def public_code(code: str) -> str:
    """A public code in groups of four, which people can read aloud."""
    return "-".join(code[start : start + 4] for start in range(0, len(code), 4))


def ago(then: datetime, now: datetime) -> tuple[str, int]:
    """How long ago: the key of the unit (`moment`, `minutes`, `hours`, `days`) and how many."""
    seconds = max((now - then).total_seconds(), 0)
    if seconds < 60:
        return "moment", 0
    if seconds < 3_600:
        return "minutes", int(seconds // 60)
    if seconds < 86_400:
        return "hours", int(seconds // 3_600)
    return "days", int(seconds // 86_400)
