"""The texts of the pages, one TOML file a language; a test holds the three to the same keys."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

from markupsafe import Markup, escape

from portalbus.connectors.central import formats
from portalbus.schemas.filled_texts import LANGUAGES


class Words:
    """All texts in one language."""

    def __init__(self, language: str, texts: Mapping[str, str]) -> None:
        self.language = language
        self._texts = texts

    def __call__(self, key: str, **places: object) -> str:
        """The text with this key, its {places} filled. Raises KeyError for a key that is not in the file."""
        text = self._texts[key]
        if not places:
            return text
        shown = {name: self._shown(value) for name, value in places.items()}
        # A text that takes in markup (such as a <time>) becomes markup; whatever else goes in is escaped.
        is_markup = any(isinstance(value, Markup) for value in shown.values())
        return escape(text).format(**shown) if is_markup else text.format(**shown)

    def count(self, key: str, number: int, **places: object) -> str:
        """The text `<key>.one` or `<key>.other`, with {n} filled. Only English tells one from many."""
        form = "one" if self.language == "en" and number == 1 else "other"
        return self(f"{key}.{form}", n=number, **places)

    def name(self, group: str, value: object) -> str:
        """The name of a code, such as an outcome; the code itself when a newer contract added one we do not know."""
        return self._texts.get(f"{group}.{value}", str(value))

    def has(self, key: str) -> bool:
        """True when there is such a text."""
        return key in self._texts

    @property
    def keys(self) -> frozenset[str]:
        """The keys of all texts."""
        return frozenset(self._texts)

    def _shown(self, value: object) -> object:
        return formats.number(value, self.language) if type(value) is int else value


OWN = "portalbus.connectors.central"


@lru_cache(maxsize=4)
def all_words(*packages: str) -> Mapping[str, Words]:
    """The texts of every language, read once: those of the portal, and of further packages with a folder `texts`."""
    return {language: Words(language, _texts(language, packages)) for language in LANGUAGES}


def _texts(language: str, packages: tuple[str, ...]) -> dict[str, str]:
    return {key: text for package in (OWN, *packages) for key, text in _flat(_table(package, language))}


def _table(package: str, language: str) -> dict[str, Any]:
    return tomllib.loads(files(package).joinpath(f"texts/{language}.toml").read_text(encoding="utf-8"))


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)
