"""A mapping from accountability figures to the indicators of a measuring platform, read from TOML."""

from __future__ import annotations

import csv
import io
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

from portalbus.streams.reading.accountability import Counts, Figures, GroupBy

NAMES = ("indicator", "label", "value", "unit", "from", "to", "as_of")
KNOWN = frozenset(one.name for one in fields(Counts))
REFUSALS = "refusals."


class MappingWrong(ValueError):
    """The mapping cannot be used; the message says where and how to mend it."""


@dataclass(frozen=True, slots=True)
class Indicator:
    """One indicator: the sum of `count`, over the sum of `per` where there is one, times `scale`."""

    code: str
    label: str
    unit: str
    count: tuple[str, ...]
    per: tuple[str, ...] = ()
    scale: int = 1
    decimals: int = 0

    def value(self, figures: Figures) -> Decimal | None:
        """The value for a group; None where the divisor is 0."""
        counted = _sum(figures, self.count)
        if not self.per:
            return Decimal(counted)
        divisor = _sum(figures, self.per)
        if divisor == 0:
            return None
        exact = Decimal(counted) * self.scale / Decimal(divisor)
        return exact.quantize(Decimal(1).scaleb(-self.decimals), ROUND_HALF_UP)


@dataclass(frozen=True, slots=True)
class Measuring:
    """What to report, by what, under which names."""

    by: tuple[GroupBy, ...]
    format: str
    names: Mapping[str, str]
    indicators: tuple[Indicator, ...]

    @classmethod
    def read(cls, path: Path | None = None) -> Measuring:
        """Reads a mapping; without a path the one shipped. Raises MappingWrong, OSError."""
        if path is None:
            text = files("portalbus.connectors.measuring").joinpath("emc.toml").read_text(encoding="utf-8")
            return cls.parse(text, "emc.toml")
        return cls.parse(path.read_text(encoding="utf-8"), str(path))

    @classmethod
    def parse(cls, text: str, name: str) -> Measuring:
        """A mapping from its text. Raises MappingWrong."""
        try:
            said = tomllib.loads(text)
            by = tuple(GroupBy(one) for one in said["by"])
            found = cls(by, said.get("format", "json"), dict(said["names"]), tuple(map(_indicator, said["indicator"])))
        except (KeyError, TypeError, ValueError) as error:
            raise MappingWrong(f"{name}: {error!r}; the form is that of emc.toml") from error
        missing = [word for word in (*by, *NAMES) if word not in found.names]
        if missing:
            raise MappingWrong(f"{name}: [names] says nothing of {', '.join(missing)}")
        if found.format not in ("json", "csv"):
            raise MappingWrong(f"{name}: the format is json or csv, not {found.format}")
        return found

    def rows(self, figures: Iterable[Figures], first: date, last: date, as_of: datetime) -> list[dict[str, Any]]:
        """One row a group and indicator, under the platform's names."""
        shared = {"from": first.isoformat(), "to": last.isoformat(), "as_of": as_of.isoformat(timespec="seconds")}
        return [
            {
                self.names[word]: said
                for word, said in {
                    **{part.value: one.group[part.value] for part in self.by},
                    "indicator": indicator.code,
                    "label": indicator.label,
                    "value": _number(value),
                    "unit": indicator.unit,
                    **shared,
                }.items()
            }
            for one in figures
            for indicator in self.indicators
            if (value := indicator.value(one)) is not None
        ]

    def write(self, rows: list[dict[str, Any]]) -> str:
        """The report as text, in the format of the mapping."""
        if self.format == "json":
            return json.dumps(rows, ensure_ascii=False, indent=1) + "\n"
        text = io.StringIO()
        writer = csv.DictWriter(text, [self.names[word] for word in (*self.by, *NAMES)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()


def _indicator(row: Mapping[str, Any]) -> Indicator:
    found = Indicator(
        code=row["code"],
        label=row["label"],
        unit=row["unit"],
        count=tuple(row["count"]),
        per=tuple(row.get("per", ())),
        scale=int(row.get("scale", 1)),
        decimals=int(row.get("decimals", 0)),
    )
    for name in (*found.count, *found.per):
        if name not in KNOWN and not name.startswith(REFUSALS):
            raise ValueError(f"the indicator {found.code} counts {name}, which is no figure; known: {sorted(KNOWN)}")
    return found


def _sum(figures: Figures, names: Iterable[str]) -> int:
    return sum(
        figures.refusals.get(name.removeprefix(REFUSALS), 0)
        if name.startswith(REFUSALS)
        else getattr(figures.counts, name)
        for name in names
    )


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)
