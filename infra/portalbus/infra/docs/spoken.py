"""The texts of the site in three languages: English in the templates, the others by it in `texts.toml`."""

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


def spoken(language: str, english: str, **places: object) -> str:
    """A text in a language, its {places} filled. Raises KeyError for one that is not in the file."""
    text: str = getattr(known_texts()[english], language)
    return text.format(**places) if places else text
