"""The description of the gateway in three languages: English in the code, the others by it in `texts.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files

from portalbus.schemas.models import Texts


@lru_cache(maxsize=1)
def known_texts() -> Mapping[str, Texts]:
    """Every text by its English, read once."""
    table = tomllib.loads(files(__package__).joinpath("texts.toml").read_text(encoding="utf-8"))
    return {english: Texts(en=english, **others) for english, others in table.items()}


def spoken(english: str, language: str) -> str:
    """A text in a language; in English where it is not known in another. Line breaks make no difference."""
    joined = " ".join(english.split())
    known = known_texts().get(joined)
    return getattr(known, language) if known else joined
