"""New ids: event ids that sort by time, public codes that nobody can guess."""

from __future__ import annotations

import os
import secrets
import time

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
PUBLIC_CODE_LENGTH = 12


def new_event_id() -> str:
    """A UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then 74 random bits."""
    value = int.from_bytes(os.urandom(10), "big") | (time.time_ns() // 1_000_000) << 80
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_public_code() -> str:
    """A public code of 60 random bits in Crockford's base 32, such as `7GQ2M0Z4KX9A`."""
    return "".join(secrets.choice(CROCKFORD) for _ in range(PUBLIC_CODE_LENGTH))
