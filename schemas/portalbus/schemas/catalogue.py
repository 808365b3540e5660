"""The rule catalogue: every rule id with its texts, legal basis and dates, read from `data/rules.toml`."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from portalbus.schemas.dated import in_force
from portalbus.schemas.filled_texts import fill
from portalbus.schemas.models import Texts


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; texts hold `{name}` places that a finding fills.

    A rule that stands on law holds from `valid_from` to `valid_to` (days in Viet Nam, both included).
    """

    id: str
    what: Mapping[str, str]
    how: Mapping[str, str]
    legal_basis: str | None
    valid_from: date | None = None
    valid_to: date | None = None

    def holds_on(self, day: date) -> bool:
        """True when it is in force on this day."""
        return in_force(day, self.valid_from, self.valid_to)

    def message(self, params: Mapping[str, str]) -> Texts:
        """What is wrong (or what was decided)."""
        return fill(self.what, params)

    def mend(self, params: Mapping[str, str]) -> Texts | None:
        """How to mend it; None when the catalogue has no advice."""
        return fill(self.how, params) if self.how else None


@lru_cache(maxsize=1)
def catalogue() -> Mapping[str, Rule]:
    """All rules by id, read once; their days from the file named by `PORTALBUS_RULES`, where it has any.

    So a bus that is older than a rule says from which day on it holds here, and a rebuild refuses nothing that came
    before. Raises ValueError for a file that is wrong.
    """
    text = files("portalbus.schemas").joinpath("data/rules.toml").read_text(encoding="utf-8")
    rules = {
        rule_id: Rule(
            rule_id,
            row["what"],
            row.get("mend", {}),
            row.get("legal_basis"),
            row.get("valid_from"),
            row.get("valid_to"),
        )
        for rule_id, row in tomllib.loads(text).items()
    }
    override = os.environ.get("PORTALBUS_RULES")
    return {**rules, **_own_days(rules, Path(override))} if override else rules


def _own_days(rules: Mapping[str, Rule], path: Path) -> dict[str, Rule]:
    """The rules to which a file gives other days: a table per rule with `valid_from`, `valid_to` or both."""
    own: dict[str, Rule] = {}
    for rule_id, days in tomllib.loads(path.read_text(encoding="utf-8")).items():
        known = isinstance(days, dict) and days.keys() <= {"valid_from", "valid_to"}
        if rule_id not in rules or not known or not all(isinstance(day, date) for day in days.values()):
            raise ValueError(
                f"{path}: {rule_id}: name a rule of the catalogue with quotes, as in"
                ' ["refusal.needs-legal-basis"], and give it valid_from or valid_to, days such as 2026-12-01'
            )
        own[rule_id] = replace(rules[rule_id], **days)
    return own
