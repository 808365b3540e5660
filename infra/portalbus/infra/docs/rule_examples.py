"""Each rule with one example to which it applies and one to which it does not, both run when they are asked for."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from pydantic import ValidationError

from portalbus.infra.docs.storytelling import BEGINS, Line, Teller
from portalbus.schemas import example_files, rules
from portalbus.schemas.directory import directory
from portalbus.schemas.example_files import Example
from portalbus.schemas.facts import Facts
from portalbus.schemas.findings import Finding
from portalbus.schemas.models import PAYLOADS

ACCEPTED = "event.accepted"
"""What an example comes to that no rule has anything against."""


@dataclass(frozen=True, slots=True)
class RuleExample:
    """What came of both; the last line of each names the rule that decided. The second should end with `gives`."""

    rule: str
    applies: tuple[Line, ...]
    otherwise: tuple[Line, ...]
    gives: str = ACCEPTED

    @property
    def is_right(self) -> bool:
        """True when the first ends with the rule and the second does not."""
        return self.applies[-1].rule == self.rule and self.otherwise[-1].rule == self.gives != self.rule


@lru_cache(maxsize=1)
def stories() -> Mapping[str, Any]:
    """The stories by rule, read once."""
    return tomllib.loads(files("portalbus.infra.docs").joinpath("rule_stories.toml").read_text(encoding="utf-8"))


def example_of(rule: str) -> RuleExample:
    """The rule's story, or the first event that breaks it by itself beside the one most like it that does not.

    Raises KeyError for a rule that has neither.
    """
    story = stories().get(rule)
    if story is not None:
        applies, otherwise = (tuple(Teller().tell(story[part])) for part in ("applies", "otherwise"))
        return RuleExample(rule, applies, otherwise, story.get("gives", ACCEPTED))
    broken = next((one for one in example_files.invalid() if one.rule == rule), None)
    if broken is None:
        raise KeyError(f"{rule} has no example: add one to schemas/examples, or a story to rule_stories.toml")
    return RuleExample(rule, (_judged(broken),), (_judged(_most_like(broken)),))


def _judged(example: Example) -> Line:
    found = next(iter(_findings(example)), None)
    place = f" at {found.path}" if found else ""
    return Line(f"{example.id}{place}", found.rule if found else ACCEPTED, example.document)


def _findings(example: Example) -> Iterator[Finding]:
    """What the stateless rules have against an example: its shape first."""
    try:
        if example.record in PAYLOADS:
            yield from rules.findings(example.event(), Facts(directory(), BEGINS))
        else:
            example.plain_record()
    except ValidationError as error:
        yield from rules.shape_findings(error)


def _most_like(broken: Example) -> Example:
    said = dict(_leaves(broken.document.get("payload", broken.document)))

    def difference(valid: Example) -> int:
        other = dict(_leaves(valid.document.get("payload", valid.document)))
        return len(set(said.items()) ^ set(other.items()))

    return min((one for one in example_files.valid() if one.record == broken.record), key=difference)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(item, f"{path}/{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _leaves(item, f"{path}/{number}")
    else:
        yield path, repr(value)
