"""Days and moments as people and programs write them; what names no zone is Viet Nam's time."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from portalbus.schemas.rules import VIET_NAM

DAY_FIRST = re.compile(r"(?<!\d)(\d{1,2})\s*[/.-]\s*(\d{1,2})\s*[/.-]\s*(\d{4})(?!\d)")
YEAR_FIRST = re.compile(r"(?<!\d)(\d{4})\s*[/.-]\s*(\d{1,2})\s*[/.-]\s*(\d{1,2})(?!\d)")
IN_WORDS = re.compile(r"(?:ngày\s+)?(\d{1,2})\s+tháng\s+(\d{1,2})\s+năm\s+(\d{4})", re.IGNORECASE)
CLOCK = re.compile(r"(?<!\d)([01]?\d|2[0-3])\s*[:h]\s*([0-5]\d)(?:\s*:\s*([0-5]\d))?(?!\d)")


def moment(value: Any, format_: str = "") -> datetime | None:
    """The moment (with its zone) that a value names; None when it names none, or cannot be read."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=VIET_NAM)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=VIET_NAM)
    text = str(value or "").strip()
    if not text:
        return None
    ways: tuple[Callable[[str], datetime | None], ...] = (
        (lambda said: datetime.strptime(said, format_),) if format_ else (datetime.fromisoformat, _internet, _by_hand)
    )
    for way in ways:
        try:
            found = way(text)
        except (ValueError, TypeError, OverflowError):
            continue
        if found is not None:
            return found if found.tzinfo else found.replace(tzinfo=VIET_NAM)
    return None


def day(value: Any, format_: str = "") -> date | None:
    """The day in Viet Nam that a value names; None when it names none, or cannot be read."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    found = moment(value, format_)
    try:
        return found.astimezone(VIET_NAM).date() if found else None
    except OverflowError:
        return None


def utc(found: datetime) -> datetime:
    """The same moment in UTC."""
    return found.astimezone(UTC)


def _internet(text: str) -> datetime:
    """RFC 2822, as feeds and headers write it."""
    return parsedate_to_datetime(text)


def _by_hand(text: str) -> datetime | None:
    for pattern, order in ((YEAR_FIRST, (1, 2, 3)), (DAY_FIRST, (3, 2, 1)), (IN_WORDS, (3, 2, 1))):
        found = pattern.search(text)
        if found is None:
            continue
        year, month, day_ = (int(found.group(place)) for place in order)
        clock = CLOCK.search(text[: found.start()] + " " + text[found.end() :])
        hour, minute, second = (int(part or 0) for part in clock.groups()) if clock else (0, 0, 0)
        return datetime(year, month, day_, hour, minute, second)
    return None
