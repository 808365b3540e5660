"""Text folded for search: `Kết nối`, `ket noi` and `KẾT NỐI` become the same words, Chinese and Japanese become pairs.

Scripts without spaces are cut into overlapping pairs of characters, so that any run of two or more is found
without a dictionary of words.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

CJK = r"\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af"
TOKEN = re.compile(rf"[{CJK}]+|(?:(?![{CJK}])[^\W_])+")
IS_CJK = re.compile(rf"[{CJK}]")
MAX_QUERY_WORDS = 16
MAX_WORD_CHARACTERS = 100
"""Longer words are cut, in text and query alike: PostgreSQL refuses a query with a word of over 2,046 bytes."""


def fold(text: str) -> str:
    """The words of a text, folded, separated by single spaces."""
    return " ".join(_words(text))


def query(text: str) -> str:
    """A PostgreSQL tsquery that finds every word of `text`, the last one as a prefix; empty when there is no word."""
    words = _words(text)[:MAX_QUERY_WORDS]
    if not words:
        return ""
    last = words[-1] if IS_CJK.match(words[-1]) and len(words[-1]) > 1 else f"{words[-1]}:*"
    return " & ".join([*words[:-1], last])


def _words(text: str) -> list[str]:
    words: list[str] = []
    for token in TOKEN.findall(_plain(text)):
        if IS_CJK.match(token) and len(token) > 1:
            words.extend(token[index : index + 2] for index in range(len(token) - 1))
        else:
            words.append(token[:MAX_WORD_CHARACTERS])
    return words


def _plain(text: str) -> str:
    lowered = unicodedata.normalize("NFC", text).lower()
    return lowered if lowered.isascii() else lowered.translate(_Folding())


class _Folding(dict[int, str]):
    """One character at a time, remembered: Latin letters lose their marks, everything else stays."""

    def __missing__(self, code: int) -> str:
        self[code] = folded = _fold_character(chr(code))
        return folded


@lru_cache(maxsize=4096)
def _fold_character(character: str) -> str:
    if character == "đ":
        return "d"
    if unicodedata.combining(character):
        return ""  # a mark that composes with nothing is a mark all the same
    base = unicodedata.normalize("NFD", character)[0]
    if base.isascii():
        return base
    compatible = unicodedata.normalize("NFKC", character)
    if compatible == character:
        return character
    return "".join(_fold_character(part) for part in compatible.lower())
