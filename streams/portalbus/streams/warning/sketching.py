"""Sketches of texts: two that say nearly the same have nearly the same sketch (MinHash over pairs of words, by rensa).

Vietnamese is folded as for search: NFC and NFD, capitals, tone marks and `hoà`/`hòa` make no difference. The text
itself is not kept, and cannot be had back from its sketch.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from operator import add

from rensa import RMinHash  # type: ignore[import-untyped]

from portalbus.schemas.search_text import fold

SLOTS = 64
SEED = 20_080_214
"""Any number, and always the same one: sketches of different seeds cannot be compared."""
LEAST_WORDS = 5
"""Fewer words are no text to compare: `không có ý kiến` is nobody's copy."""
MOST_CHARACTERS = 4_000
"""What comes behind is left out: the beginning tells a copy."""

_SPACES = bytes(code if chr(code).isalnum() and code < 128 else 32 for code in range(256))


def sketches(texts: Sequence[str]) -> list[list[int] | None]:
    """A sketch of each text, 64 numbers below 2^32; None for a text that is too short to compare."""
    pairs = [_pairs(text) for text in texts]
    rows = iter(RMinHash.digest_matrix_from_token_byte_sets([one for one in pairs if one], SLOTS, SEED).to_rows())
    return [next(rows) if one else None for one in pairs]


def likeness(one: Sequence[int], other: Sequence[int]) -> float:
    """The estimated share of pairs of words that two texts have in common, 0 to 1."""
    return sum(map(int.__eq__, one, other)) / len(one)


def words(text: str) -> list[bytes]:
    """The words of a text without marks and capitals."""
    text = text[:MOST_CHARACTERS].lower()
    plain = unicodedata.normalize("NFD", text.replace("đ", "d")).encode("ascii", "ignore")
    found = plain.translate(_SPACES).split()
    if len(plain) * 2 < len(text):  # no Latin letters: scripts without spaces are cut into pairs, as for search
        found = fold(text).encode().split()
    return found


def _pairs(text: str) -> list[bytes]:
    found = words(text)
    return list(map(add, found, found[1:])) if len(found) >= LEAST_WORDS else []
