"""What is true from a day on, and perhaps up to another: bodies, rules, terms and limits are all dated."""

from __future__ import annotations

from datetime import date


def in_force(on: date, valid_from: date | None, valid_to: date | None) -> bool:
    """True from the first of these days to the last, both included; None is no bound."""
    return (valid_from is None or valid_from <= on) and (valid_to is None or on <= valid_to)
