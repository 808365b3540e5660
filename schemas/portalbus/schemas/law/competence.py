"""Who handles feedback, by field, area and level: the dated rules of `competence.toml`, and the installation's own file
over them. One body or a person's choice, never a guess."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from portalbus.schemas.dated import in_force
from portalbus.schemas.law.calendar import VERSION_LENGTH
from portalbus.schemas.law.duty import Basis
from portalbus.schemas.law.levels import LEVELS
from portalbus.schemas.search_text import fold

EVERY = "*"
"""Of fields: each of them. Of areas: whether a province is named or not."""


class Where(StrEnum):
    """Areas that are no province's code."""

    ANY = "any"
    NONE = "none"


class Handler(StrEnum):
    """Handlers that are no agency's code."""

    PROVINCE = "province"
    UNIT = "unit"
    """One that the province of the area chooses: nobody else knows its units."""


@dataclass(frozen=True, slots=True)
class CompetenceRule:
    """One rule, in force for cases received from `valid_from` to `valid_to` (its last day)."""

    id: str
    fields: tuple[str, ...]
    area: str
    level: str
    handler: str
    valid_from: date
    valid_to: date | None
    basis: Basis
    legal_basis: str
    confidence: str

    def holds(self, on: date) -> bool:
        """True for a case received on that day."""
        return in_force(on, self.valid_from, self.valid_to)

    def speaks_of(self, field: str, area: str | None) -> bool:
        """True for this folded field, and a province or none."""
        in_area = self.area in (EVERY, area, Where.ANY if area else Where.NONE)
        return in_area and (self.fields == (EVERY,) or field in self.fields)

    @property
    def width(self) -> tuple[bool, int]:
        """How much it covers: of two rules the narrower goes first, by field and then by area."""
        areas = {EVERY: 2, Where.ANY.value: 1, Where.NONE.value: 1}
        return self.fields == (EVERY,), areas.get(self.area, 0)


class Competence:
    """All rules, and the provinces by statistical code."""

    def __init__(self, rules: Iterable[CompetenceRule], provinces: Mapping[str, str]) -> None:
        self.by_id: Mapping[str, CompetenceRule] = {rule.id: rule for rule in rules}
        self.provinces = provinces
        self.version = hashlib.sha256(self.text.encode()).hexdigest()[:VERSION_LENGTH]

    @classmethod
    def read(cls, path: Path | None = None) -> Competence:
        """The shipped rules, overridden by a file of the same form. Raises ValueError that names what is wrong."""
        shipped = files("portalbus.schemas").joinpath("law/competence.toml").read_text(encoding="utf-8")
        rules = _read(shipped, "law/competence.toml")
        if path is not None:
            rules |= _read(path.read_text(encoding="utf-8"), str(path))
        return cls(rules.values(), _provinces())

    @classmethod
    def parse(cls, text: str) -> Competence:
        """The rules whose `text` this is."""
        said = json.loads(text)
        return cls([_rule(row) for row in said["rule"]], said["provinces"])

    @property
    def text(self) -> str:
        """Everything in force and ever in force, as JSON: enough to decide by it again years later."""
        rules = [
            {name: value for name, value in asdict(rule).items() if value is not None}
            for _, rule in sorted(self.by_id.items())
        ]
        said = {"rule": rules, "provinces": dict(sorted(self.provinces.items()))}
        return json.dumps(said, ensure_ascii=False, sort_keys=True, default=str)

    def matching(self, field: str, area: str | None, level: str | None, on: date) -> tuple[CompetenceRule, ...]:
        """The rules that decide: the narrowest of those that hold. More than one means that nobody has decided."""
        folded = fold(field)
        found = [
            rule
            for rule in self.by_id.values()
            if rule.holds(on) and level in (None, rule.level) and rule.speaks_of(folded, area)
        ]
        if not found:
            return ()
        first = min(_rank(rule) for rule in found)
        return tuple(sorted((rule for rule in found if _rank(rule) == first), key=lambda rule: rule.id))


def _rank(rule: CompetenceRule) -> tuple[bool, int, int]:
    """Narrow before wide; of the same width L1 first, which passes on to its units, and the centre last."""
    return (*rule.width, ("L1", "L2", "L0").index(rule.level))


@lru_cache(maxsize=1)
def competence() -> Competence:
    """The rules in force, read once: those shipped, and over them the file named by `PORTALBUS_COMPETENCE`."""
    override = os.environ.get("PORTALBUS_COMPETENCE")
    return Competence.read(Path(override) if override else None)


def _provinces() -> dict[str, str]:
    """The provinces by statistical code: those shipped, and over them the file named by `PORTALBUS_PROVINCES`."""
    shipped = files("portalbus.schemas").joinpath("data/provinces.csv").read_text(encoding="utf-8")
    found = _codes(shipped, "data/provinces.csv")
    override = os.environ.get("PORTALBUS_PROVINCES")
    return found | _codes(Path(override).read_text(encoding="utf-8"), override) if override else found


def _codes(text: str, name: str) -> dict[str, str]:
    try:
        return {row["nso_code"]: row["agency_code"] for row in csv.DictReader(text.splitlines())}
    except KeyError as error:
        raise ValueError(f"{name}: no column {error}; the form is that of data/provinces.csv") from error


def _read(text: str, name: str) -> dict[str, CompetenceRule]:
    try:
        rules = [_rule(row) for row in tomllib.loads(text).get("rule", ())]
    except ValueError as error:
        raise ValueError(f"{name}: {error}; the form is that of law/competence.toml") from error
    return {rule.id: rule for rule in rules}


def _rule(row: Mapping[str, Any]) -> CompetenceRule:
    try:
        rule = CompetenceRule(
            id=row["id"],
            fields=tuple(field if field == EVERY else fold(field) for field in row["fields"]),
            area=row["area"],
            level=row["level"],
            handler=row["handler"],
            valid_from=_day(row["valid_from"]),
            valid_to=_day(row["valid_to"]) if "valid_to" in row else None,
            basis=Basis(row["basis"]),
            legal_basis=row["legal_basis"],
            confidence=row["confidence"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the rule {row.get('id')}: {error!r}") from error
    if rule.level not in LEVELS:
        raise ValueError(f"the rule {rule.id}: {rule.level} is no level, they are {', '.join(LEVELS)}")
    if rule.handler in set(Handler) and rule.area in (EVERY, Where.NONE):
        raise ValueError(f"the rule {rule.id}: the handler {rule.handler} needs an area")
    return rule


def _day(said: Any) -> date:
    return said if isinstance(said, date) else date.fromisoformat(said)
