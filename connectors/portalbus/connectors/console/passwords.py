"""Passwords: made, hashed with scrypt (RFC 7914), and compared."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode

# 32 MB and about 0.2 s a guess, as OWASP's password storage cheat sheet asks for with r = 8.
LOG2_N, R, P = 15, 8, 3
MAXMEM = 128 * 2**LOG2_N * R * 2
SALT_BYTES, HASH_BYTES = 16, 32
SHORTEST, LONGEST = 12, 256
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without what looks alike on paper."""


def new_password() -> str:
    """Twenty random characters in groups of five: 99 bits, and readable over the telephone."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(5)) for _ in range(4))


def hashed(password: str) -> str:
    """The hash to be kept, with parameters and salt. Raises ValueError for a password that is too short or too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise ValueError(f"a password has {SHORTEST} to {LONGEST} characters")
    salt = secrets.token_bytes(SALT_BYTES)
    key = _scrypt(password, salt, LOG2_N, R, P)
    return f"scrypt${LOG2_N}${R}${P}${b64encode(salt).decode()}${b64encode(key).decode()}"


def matches(password: str, kept: str) -> bool:
    """True when this is the password; takes 0.2 s either way."""
    _, log2_n, r, p, salt, key = kept.split("$")
    given = _scrypt(password[:LONGEST], b64decode(salt), int(log2_n), int(r), int(p))
    return hmac.compare_digest(given, b64decode(key))


def _scrypt(password: str, salt: bytes, log2_n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**log2_n, r=r, p=p, maxmem=MAXMEM, dklen=HASH_BYTES)
