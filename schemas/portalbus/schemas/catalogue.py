"""The rule catalogue: every rule id with its texts, legal basis and dates, read from `data/rules.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from portalbus.schemas.models import Texts

LANGUAGES = ("vi", "en", "zh")


class _Blank(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "…"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; texts hold `{name}` places that a finding fills."""

    id: str
    what: Mapping[str, str]
    how: Mapping[str, str]
    legal_basis: str | None

    def message(self, params: Mapping[str, str]) -> Texts:
        """What is wrong (or what was decided)."""
        return _texts(self.what, params)

    def mend(self, params: Mapping[str, str]) -> Texts | None:
        """How to mend it; None when the catalogue has no advice."""
        return _texts(self.how, params) if self.how else None


@lru_cache(maxsize=1)
def catalogue() -> Mapping[str, Rule]:
    """All rules by id, read once."""
    text = files("portalbus.schemas").joinpath("data/rules.toml").read_text(encoding="utf-8")
    return {
        rule_id: Rule(rule_id, row["what"], row.get("mend", {}), row.get("legal_basis"))
        for rule_id, row in tomllib.loads(text).items()
    }


def _texts(texts: Mapping[str, str], params: Mapping[str, str]) -> Texts:
    known = _Blank(params)
    vi, en, zh = (texts[language].format_map(known) for language in LANGUAGES)
    return Texts(vi=vi, en=en, zh=zh)
