"""The regimes R1 to R7 and their terms, read from `regimes.toml` and the installation's own file over it."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import date
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from portalbus.schemas.law.calendar import VERSION_LENGTH
from portalbus.schemas.law.duty import Basis, Duty, Regime, Term, Unit

EVERY_REGIME = "*"


class Regimes:
    """Which term holds for whom and when. `version` is the same for the same numbers and dates."""

    def __init__(self, regimes: Iterable[Regime], terms: Iterable[Term]) -> None:
        self.by_id: Mapping[str, Regime] = {regime.id: regime for regime in regimes}
        self.by_rule: Mapping[str, Term] = {term.rule: term for term in terms}
        self._terms: dict[tuple[str, Duty], list[Term]] = {}
        for term in self.by_rule.values():
            if term.regime != EVERY_REGIME and term.regime not in self.by_id:
                raise ValueError(f"the term {term.rule} is of the regime {term.regime}, which is not there")
            self._terms.setdefault((term.regime, term.duty), []).append(term)
        for found in self._terms.values():
            # The narrower term before the general one, the newer before the older.
            found.sort(key=lambda term: (term.agency == "", -term.valid_from.toordinal(), term.rule))
        self.version = hashlib.sha256(self.text.encode()).hexdigest()[:VERSION_LENGTH]

    @classmethod
    def read(cls, path: Path | None = None) -> Regimes:
        """The shipped regimes, overridden by a file of the same form. Raises ValueError that names what is wrong."""
        shipped = files("portalbus.schemas").joinpath("law/regimes.toml").read_text(encoding="utf-8")
        regimes, terms = _read(shipped, "law/regimes.toml")
        if path is not None:
            own_regimes, own_terms = _read(path.read_text(encoding="utf-8"), str(path))
            regimes, terms = regimes | own_regimes, terms | own_terms
        return cls(regimes.values(), terms.values())

    @classmethod
    def parse(cls, text: str) -> Regimes:
        """The regimes whose `text` this is."""
        said = json.loads(text)
        return cls([_regime(row) for row in said["regime"]], [_term(row) for row in said["term"]])

    @property
    def text(self) -> str:
        """Everything in force and ever in force, as JSON: enough to reckon with it again years later."""
        said = {
            "regime": [asdict(regime) for _, regime in sorted(self.by_id.items())],
            "term": [asdict(term) for _, term in sorted(self.by_rule.items())],
        }
        return json.dumps(said, ensure_ascii=False, sort_keys=True, default=str)

    def term(self, regime: str, duty: Duty, on: date, agency: str) -> Term | None:
        """The term of a duty for a case that this first-level agency received on that day; None when there is none."""
        for found in (regime, EVERY_REGIME):
            for term in self._terms.get((found, duty), ()):
                if term.holds(on, agency):
                    return term
        return None


@lru_cache(maxsize=1)
def regimes() -> Regimes:
    """The regimes in force, read once: those shipped, and over them the file named by `PORTALBUS_REGIMES`."""
    override = os.environ.get("PORTALBUS_REGIMES")
    return Regimes.read(Path(override) if override else None)


def _read(text: str, name: str) -> tuple[dict[str, Regime], dict[str, Term]]:
    said = tomllib.loads(text)
    try:
        regimes = [_regime(row) for row in said.get("regime", ())]
        terms = [_term(row) for row in said.get("term", ())]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}; the form is that of law/regimes.toml") from error
    return {regime.id: regime for regime in regimes}, {term.rule: term for term in terms}


def _regime(row: Mapping[str, Any]) -> Regime:
    try:
        return Regime(**row)
    except TypeError as error:
        raise ValueError(f"the regime {row.get('id')}: {error}") from error


def _term(row: Mapping[str, Any]) -> Term:
    try:
        term = Term(
            rule=row["rule"],
            regime=row["regime"],
            duty=Duty(row["duty"]),
            length=int(row["length"]),
            unit=Unit(row["unit"]),
            valid_from=_day(row["valid_from"]),
            valid_to=_day(row["valid_to"]) if row.get("valid_to") not in (None, "None") else None,
            agency=row.get("agency", ""),
            basis=Basis(row["basis"]),
            legal_basis=row["legal_basis"],
            confidence=row["confidence"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the term {row.get('rule')}: {error!r}") from error
    if term.length < 0 or (term.duty is Duty.ACKNOWLEDGE) != (term.unit is Unit.MINUTES):
        raise ValueError(f"the term {term.rule}: an acknowledgement is due within minutes, everything else within days")
    return term


def _day(said: Any) -> date:
    return said if isinstance(said, date) else date.fromisoformat(said)
