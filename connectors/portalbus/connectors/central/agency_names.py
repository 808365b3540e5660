"""Names of agencies in the three languages, also of those that were merged or abolished."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from importlib.resources import files

from portalbus.schemas.directory import Agency, AgencyDirectory, first_level
from portalbus.schemas.errors import AgencyUnknown

PROVINCE = re.compile(r"People's Committee of (?P<place>.+) (?P<rank>Province|City)$")
KINDS = ("ministry", "ministerial_agency", "government_agency", "province", "other")


@dataclass(frozen=True, slots=True)
class AgencyName:
    """One agency's code and names; `current` is False once it was abolished or when nobody knows the code."""

    code: str
    vi: str
    en: str
    zh: str
    kind: str
    current: bool

    def in_language(self, language: str) -> str:
        """The name in one of the three languages."""
        return {"vi": self.vi, "en": self.en, "zh": self.zh}[language]


class AgencyNames:
    """The directory as readers see it."""

    def __init__(self, directory: AgencyDirectory) -> None:
        self._directory = directory

    def name(self, code: str, on: date) -> AgencyName:
        """The name of an agency; the code itself stands for a name that nobody knows."""
        rows = self._directory.history(code)
        if not rows:
            return AgencyName(code, code, code, code, "other", False)
        row = next((row for row in rows if row.exists_on(on)), rows[-1])
        return _named(row, code, row.exists_on(on))

    def current(self, on: date) -> tuple[AgencyName, ...]:
        """All agencies that exist on that day, by kind and code."""
        names = [_named(row, row.code, True) for row in self._directory.current(on)]
        return tuple(sorted(names, key=lambda name: (KINDS.index(name.kind), name.code)))

    def known(self, code: str) -> bool:
        """True when this first-level code belongs or belonged to an agency."""
        return first_level(code) == code and bool(self._directory.history(code))

    def heirs(self, code: str, on: date) -> tuple[AgencyName, ...]:
        """Who acts in the place of an agency that is no more."""
        try:
            rows = self._directory.successors(code, on)
        except AgencyUnknown:
            return ()
        return tuple(_named(row, row.code, True) for row in rows)


def _named(row: Agency, code: str, current: bool) -> AgencyName:
    kind = row.kind if row.kind in KINDS else "other"
    part = "" if code == row.code else f" ({code})"
    chinese = _chinese(row.name_en)
    return AgencyName(code, row.name_vi + part, row.name_en + part, chinese + part, kind, current)


def _chinese(english: str) -> str:
    """The Chinese name; the English one where the table has none."""
    table = _chinese_table()
    if english in table["bodies"]:
        return table["bodies"][english]
    found = PROVINCE.match(english)
    place = table["places"].get(found["place"]) if found else None
    return f"{place}{'市' if found and found['rank'] == 'City' else '省'}人民委员会" if place else english


@lru_cache(maxsize=1)
def _chinese_table() -> Mapping[str, Mapping[str, str]]:
    text = files("portalbus.connectors.central").joinpath("texts/agencies_zh.toml").read_text(encoding="utf-8")
    table: dict[str, dict[str, str]] = tomllib.loads(text)
    return table
