"""Texts in three languages whose `{places}` are filled."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from portalbus.schemas.models import Texts

LANGUAGES = ("vi", "en", "zh")
OWN_NAMES = {"vi": "Tiếng Việt", "en": "English", "zh": "中文"}
"""What each calls itself."""


class _Unfilled(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "…"


def fill(texts: Mapping[str, str], places: Mapping[str, str]) -> Texts:
    """The texts by language with their places filled; a place that is not given shows as …."""
    return _fill(texts, places) if places else _whole(tuple(texts.items()))


@lru_cache(maxsize=512)
def _whole(texts: tuple[tuple[str, str], ...]) -> Texts:
    """Texts that nobody fills, made once: most verdicts say that an event was accepted."""
    return _fill(dict(texts), {})


def _fill(texts: Mapping[str, str], places: Mapping[str, str]) -> Texts:
    known = _Unfilled(places)
    vi, en, zh = (texts[language].format_map(known) for language in LANGUAGES)
    return Texts(vi=vi, en=en, zh=zh)
