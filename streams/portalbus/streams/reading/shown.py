"""Which answers the public may see: those that were made public, once the centre cannot return them any more."""

from __future__ import annotations

from typing import LiteralString

SHOWN: LiteralString = (
    "(c.answer_public and (c.answer_published_at is not null or c.answer_heard_at <= (select ledger.shown_upto())))"
)
"""SQL over `ledger.case c`: null or false while an answer is not shown. Published, or its review is over; see migration
0012. The inner select is evaluated once, not for each row."""

HIDDEN: LiteralString = f"(c.answer_public and {SHOWN} is not true)"
"""SQL: the answer that stands is being reviewed. What it says, and whether it refuses, is nobody's yet."""
