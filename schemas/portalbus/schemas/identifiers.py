"""New ids: event ids that sort by time, public codes that nobody can guess."""

from __future__ import annotations

import os
import secrets
import time
from itertools import groupby, pairwise

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
PUBLIC_CODE_LENGTH = 12
LEAST_SYMBOLS = 5
"""Different symbols of a code that was drawn by chance."""
MOST_ON_END = 6
"""Symbols that are the same, or one after the other, without a break."""


def new_event_id() -> str:
    """A UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then 74 random bits."""
    value = int.from_bytes(os.urandom(10), "big") | (time.time_ns() // 1_000_000) << 80
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_public_code() -> str:
    """A public code of 60 random bits in Crockford's base 32, such as `7GQ2M0Z4KX9A`; never one that looks made up."""
    while True:
        code = "".join(secrets.choice(CROCKFORD) for _ in range(PUBLIC_CODE_LENGTH))
        if not is_guessable(code):
            return code


def is_guessable(code: str) -> bool:
    """True for a public code that a counter, a date or a hand made: `000000000001`, `202611300042`, `AAAABBBBCCCC`.

    Digits alone, a few symbols over and over, the same one many times on end, or one after the other. Of random codes
    one in half a million looks so.
    """
    places = [CROCKFORD.find(symbol) for symbol in code]
    steps = [after - before for before, after in pairwise(places)]
    return (
        code.isdigit()
        or len(set(code)) < LEAST_SYMBOLS
        or _longest(steps, 0) >= MOST_ON_END
        or max(_longest(steps, 1), _longest(steps, -1)) >= MOST_ON_END
    )


def _longest(steps: list[int], wanted: int) -> int:
    """How many symbols on end follow each other by this step."""
    return max(sum(1 for _ in run) + 1 for step, run in groupby([*steps, wanted]) if step == wanted)
