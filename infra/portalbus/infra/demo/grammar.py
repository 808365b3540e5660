"""The grammar of the demo's texts: topics with their templates, read from `grammar/*.toml`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from random import Random
from typing import Any

SLOT = re.compile(r"\{(\w+)\}")
PLACES = frozenset({"commune", "hamlet", "road", "hour", "since"})
"""Slots that mean the same wherever one text says them."""


@dataclass(frozen=True)
class Concern:
    """What troubles a citizen, in short and at length, and what the agency finds when it looks."""

    subject: str
    detail: str
    finding: str


@dataclass(frozen=True)
class Topic:
    """What is said about one field, by the provinces and by these ministries; every text is a template."""

    field: str
    agencies: Sequence[str]
    directive: Sequence[str]
    measure: Sequence[str]
    concern: Sequence[Concern]


@dataclass(frozen=True)
class Refusal:
    """A way to refuse a case: reason code, outcome, words for the citizen, legal basis, who is competent instead."""

    code: str
    outcome: str
    text: str | None = None
    legal_basis: str | None = None
    competent_agency: str | None = None


@dataclass(frozen=True)
class ForeignText:
    """A directive in another language, complete."""

    language: str
    field: str
    title: str
    body: str


@dataclass(frozen=True)
class Grammar:
    """All topics, and the words that fit every topic."""

    topics: tuple[Topic, ...]
    words: Mapping[str, Sequence[str]]
    refusals: tuple[Refusal, ...]
    foreign: tuple[ForeignText, ...]

    def say(self, random: Random, template: str, places: dict[str, str] | None = None) -> str:
        """A template with each {slot} filled from the list of that name, and slots inside a filling too.

        What is remembered in `places` is said the same way again: one text speaks of one road and one commune.
        """
        said = {} if places is None else places

        def fill(slot: re.Match[str]) -> str:
            kind = slot[1]
            if kind not in said:
                word = self.say(random, random.choice(self.words[kind]), said)
                if kind not in PLACES:
                    return word
                said[kind] = word
            return said[kind]

        return SLOT.sub(fill, template)


@lru_cache(maxsize=1)
def grammar() -> Grammar:
    """The grammar that ships with the demo."""
    found = {
        entry.name.removesuffix(".toml"): tomllib.loads(entry.read_text(encoding="utf-8"))
        for entry in sorted(files("portalbus.infra.demo").joinpath("grammar").iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".toml")
    }
    common, foreign = found.pop("common"), found.pop("foreign")
    refusals = tuple(Refusal(**row) for row in common.pop("refusal"))
    return Grammar(tuple(_topic(**row) for row in found.values()), common, refusals, tuple(_foreign(foreign)))


def _topic(concern: list[dict[str, str]], **rest: Any) -> Topic:
    return Topic(concern=tuple(Concern(**row) for row in concern), **rest)


def _foreign(rows: Mapping[str, list[dict[str, Any]]]) -> list[ForeignText]:
    return [ForeignText(language=language, **row) for language, texts in rows.items() for row in texts]
