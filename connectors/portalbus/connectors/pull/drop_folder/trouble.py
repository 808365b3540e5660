"""What is wrong with a file or a row before the rules of the bus come to it, in words of `texts.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files

from portalbus.schemas.catalogue import Rule
from portalbus.schemas.models import Texts


@dataclass(frozen=True, slots=True)
class Trouble:
    """One reason not to take a file or a row."""

    rule: str
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def message(self) -> Texts:
        """What is wrong, in three languages."""
        return troubles()[self.rule].message(self.params)

    @property
    def mend(self) -> Texts | None:
        """How to mend it, in three languages."""
        return troubles()[self.rule].mend(self.params)

    def explain(self) -> str:
        """One English line."""
        return f"[{self.rule}] {self.message.en}" + (f" {self.mend.en}" if self.mend else "")


@lru_cache(maxsize=1)
def troubles() -> Mapping[str, Rule]:
    """All of them by id."""
    text = files("portalbus.connectors.pull.drop_folder").joinpath("texts.toml").read_text(encoding="utf-8")
    return {rule: Rule(rule, row["what"], row["mend"], None) for rule, row in tomllib.loads(text).items()}
