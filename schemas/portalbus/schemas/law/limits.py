"""Limits of judgement that no law gives: dated values of `limits.toml`, and the installation's own file over them."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from portalbus.schemas.dated import in_force
from portalbus.schemas.law.duty import Basis


class Limited(StrEnum):
    """What is limited."""

    TRANSFERS = "transfers"
    """How often bodies may pass a case on. Who then still holds that it belongs elsewhere sends it up a level."""
    REASON_CHARACTERS = "reason-characters"
    """How long the words of a reason are at least."""
    RULE_CONFIDENCE = "rule-confidence"
    """How sure a rule of competence is at least that hands a case on by itself: its place in `CONFIDENCES`, from 1."""


CONFIDENCES = ("low", "medium", "high")
"""How sure we are of a rule, from the least."""

JUDGED = frozenset({Limited.TRANSFERS, Limited.REASON_CHARACTERS})
"""Limits that the judge goes by. A rebuild needs these, and a worker of an older version knows no other."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One value, in force on days of judgement from `valid_from` to `valid_to` (its last day)."""

    id: str
    name: Limited
    value: int
    valid_from: date
    valid_to: date | None
    basis: Basis
    legal_basis: str
    confidence: str

    def holds(self, on: date) -> bool:
        """True on that day."""
        return in_force(on, self.valid_from, self.valid_to)


@dataclass(frozen=True, slots=True)
class Limits:
    """All values, the newest first."""

    rows: tuple[Limit, ...]

    @classmethod
    def read(cls, path: Path | None = None) -> Limits:
        """The shipped limits, overridden by a file of the same form. Raises ValueError that names what is wrong."""
        shipped = files("portalbus.schemas").joinpath("law/limits.toml").read_text(encoding="utf-8")
        found = {row.id: row for row in _read(shipped, "law/limits.toml")}
        if path is not None:
            found |= {row.id: row for row in _read(path.read_text(encoding="utf-8"), str(path))}
        return cls.of_rows(found.values())

    @classmethod
    def parse(cls, said: Sequence[Mapping[str, Any]]) -> Limits:
        """The limits that `told` tells. Raises ValueError that names what is wrong."""
        return cls.of_rows(_limit(row) for row in said)

    @classmethod
    def of_rows(cls, rows: Any) -> Limits:
        """These values, put in order."""
        return cls(tuple(sorted(rows, key=lambda row: (row.valid_from, row.id), reverse=True)))

    @property
    def told(self) -> list[dict[str, Any]]:
        """Everything ever in force that is judged by, as JSON has it: enough to judge by it again years later."""
        return [
            {
                "id": row.id,
                "name": row.name.value,
                "value": row.value,
                "valid_from": str(row.valid_from),
                **({"valid_to": str(row.valid_to)} if row.valid_to else {}),
            }
            for row in self.rows
            if row.name in JUDGED
        ]

    def of(self, name: Limited, on: date) -> int:
        """The value in force on that day. Raises LookupError where none is."""
        for row in self.rows:
            if row.name is name and row.holds(on):
                return row.value
        raise LookupError(f"no limit “{name}” is in force on {on}: is the installation's file right?")


@lru_cache(maxsize=1)
def limits() -> Limits:
    """The limits in force, read once: those shipped, and over them the file named by `PORTALBUS_LIMITS`."""
    override = os.environ.get("PORTALBUS_LIMITS")
    return Limits.read(Path(override) if override else None)


def _read(text: str, name: str) -> list[Limit]:
    try:
        return [_limit(row) for row in tomllib.loads(text).get("limit", ())]
    except ValueError as error:
        raise ValueError(f"{name}: {error}; the form is that of law/limits.toml") from error


def _limit(row: Mapping[str, Any]) -> Limit:
    try:
        limit = Limit(
            id=row["id"],
            name=Limited(row["name"]),
            value=int(row["value"]),
            valid_from=_day(row["valid_from"]),
            valid_to=_day(row["valid_to"]) if "valid_to" in row else None,
            basis=Basis(row.get("basis", Basis.HOUSE)),
            legal_basis=row.get("legal_basis", ""),
            confidence=row.get("confidence", ""),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the limit {row.get('id')}: {error!r}") from error
    if limit.value < 1:
        raise ValueError(f"the limit {limit.id}: {limit.value} is less than one")
    return limit


def _day(said: Any) -> date:
    return said if isinstance(said, date) else date.fromisoformat(said)
