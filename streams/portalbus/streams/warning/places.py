"""The provinces behind the statistical codes of areas, with the agencies that answer for them and their names."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

from portalbus.schemas.directory import first_level


class Province(NamedTuple):
    """A province or city: its agency and its names."""

    agency: str
    name_vi: str
    name_en: str


@lru_cache(maxsize=1)
def provinces() -> Mapping[str, Province]:
    """The provinces by their statistical codes."""
    text = files("portalbus.schemas").joinpath("data/provinces.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return {row["nso_code"]: Province(row["agency_code"], row["name_vi"], row["name_en"]) for row in rows}


@lru_cache(maxsize=1)
def _areas() -> Mapping[str, str]:
    return {province.agency: area for area, province in provinces().items()}


def area_of(area: str | None, agency: str) -> str:
    """The area that a case concerns: as it says itself, or that of the province that has it, or none."""
    return area or _areas().get(first_level(agency), "")
