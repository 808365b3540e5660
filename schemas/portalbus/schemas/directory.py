"""The dated directory of agencies: who existed when, and who took over.

Codes follow Decision 20/2020/QĐ-TTg. The data lies in `data/agencies.csv`; an installation overrides it with
the file named by `PORTALBUS_AGENCIES`.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from portalbus.schemas.computed import computed
from portalbus.schemas.dated import in_force
from portalbus.schemas.errors import AgencyUnknown
from portalbus.schemas.search_text import fold
from portalbus.schemas.spelling import AGENCY_CODE

REVERSED_CODE = re.compile(r"^(?:[A-Z0-9]{2,3}\.)+[A-Y][0-9]{2}$")
VERSION_LENGTH = 12
SHORTEST_NAME = 3
FIRST_LEVEL_KINDS = ("ministry", "ministerial_agency", "government_agency", "province")


@dataclass(frozen=True, slots=True)
class Agency:
    """One row of the directory; `valid_to` is the last day it existed, None while it does."""

    code: str
    name_vi: str
    name_en: str
    kind: str
    valid_from: date
    valid_to: date | None
    successor_codes: tuple[str, ...]
    source: str
    confidence: str

    def exists_on(self, on: date) -> bool:
        """True when the agency existed on that day."""
        return in_force(on, self.valid_from, self.valid_to)


class AgencyDirectory:
    """All agencies that ever were, by code and date."""

    def __init__(self, agencies: Iterable[Agency]) -> None:
        self._by_code: dict[str, list[Agency]] = {}
        for agency in agencies:
            self._by_code.setdefault(agency.code, []).append(agency)
        for rows in self._by_code.values():
            rows.sort(key=lambda row: row.valid_from)
        # Asked for every event, about few codes; only answers are remembered, and only so many.
        self._remembered = lru_cache(maxsize=4096)(self._find)

    @classmethod
    def read(cls, path: Path | None = None) -> AgencyDirectory:
        """Reads a directory file; without a path the one shipped with the package."""
        if path is not None:
            text = path.read_text(encoding="utf-8")
        else:
            text = files("portalbus.schemas").joinpath("data/agencies.csv").read_text(encoding="utf-8")
        return cls(_agency(row) for row in csv.DictReader(text.splitlines()))

    @classmethod
    def parse(cls, text: str) -> AgencyDirectory:
        """The directory whose `text` this is; names and sources are not in it."""
        return cls(_agency(row) for row in csv.DictReader(text.splitlines()))

    @property
    def text(self) -> str:
        """Who existed when and who took over, as CSV: enough to follow bodies again years later."""
        rows = [row for code in sorted(self._by_code) for row in self._by_code[code]]
        lines = (
            f"{row.code},{row.kind},{row.valid_from},{row.valid_to or ''},{';'.join(row.successor_codes)}"
            for row in rows
        )
        return "code,kind,valid_from,valid_to,successor_codes\n" + "".join(f"{line}\n" for line in lines)

    @computed
    def version(self) -> str:
        """The same for the same bodies, days and successors."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:VERSION_LENGTH]

    def gone(self, on: date) -> tuple[str, ...]:
        """The codes of first-level bodies that were there before that day, and are no more."""
        return tuple(
            sorted(
                code
                for code, rows in self._by_code.items()
                if rows[0].valid_from <= on and not any(row.exists_on(on) for row in rows)
            )
        )

    def agency(self, code: str, on: date) -> Agency:
        """The first-level agency that `code` (of any level, also in the older reversed form) belongs to.

        Raises AgencyUnknown when there is none on that date.
        """
        return self._remembered(code, on)

    def _find(self, code: str, on: date) -> Agency:
        rows = self._by_code.get(first_level(code), [])
        for row in rows:
            if row.exists_on(on):
                return row
        if not rows:
            raise AgencyUnknown(f"{code}: no agency has this code (Decision 20/2020/QĐ-TTg)")
        heirs = ", ".join(rows[-1].successor_codes) or "nobody"
        raise AgencyUnknown(f"{code}: this agency did not exist on {on}; succeeded by {heirs}")

    def successors(self, code: str, on: date) -> tuple[Agency, ...]:
        """Who acts in the place of `code` on that date: itself while it exists, else its heirs, over all mergers.

        More than one answer means that a rule or a person has to choose.
        Raises AgencyUnknown for a code that never was.
        """
        found: dict[str, Agency] = {}
        seen: set[str] = set()
        todo = [first_level(code)]
        if todo[0] not in self._by_code:
            raise AgencyUnknown(f"{code}: no agency has this code (Decision 20/2020/QĐ-TTg)")
        while todo:
            current = todo.pop(0)
            if current in seen:
                continue
            seen.add(current)
            rows = self._by_code.get(current, [])
            living = next((row for row in rows if row.exists_on(on)), None)
            if living is not None:
                found[living.code] = living
            elif rows:
                todo.extend(rows[-1].successor_codes)
        return tuple(found.values())

    def heir_of(self, code: str, on: date) -> str | None:
        """Who acts for `code` on that date without anybody's choice: itself, or its only successor; else None."""
        try:
            heirs = self.successors(code, on)
        except AgencyUnknown:
            return None
        if len(heirs) != 1:
            return None
        return code if heirs[0].code == first_level(code) else heirs[0].code

    def current(self, on: date) -> tuple[Agency, ...]:
        """All agencies that exist on that date, in the order of their codes."""
        rows = (row for rows in self._by_code.values() for row in rows if row.exists_on(on))
        return tuple(sorted(rows, key=lambda row: row.code))

    def nearest(self, given: str) -> Agency | None:
        """The agency that may have been meant by what is no code of one: by its name, or by a code that is like it."""
        said = _closed_up(given)
        names = [
            (len(name), row.code)
            for rows in self._by_code.values()
            for row in rows[-1:]
            if said in (name := _closed_up(row.name_vi)) or said in (name := _closed_up(row.name_en))
        ]
        if names and len(said) >= SHORTEST_NAME:  # the province sooner than its university
            return self._by_code[min(names)[1]][-1]
        like = get_close_matches(normalise_code(given), self._by_code, 1)
        return self._by_code[like[0]][-1] if like else None

    def history(self, code: str) -> tuple[Agency, ...]:
        """Everything the directory knows of a code, at all times, oldest first; empty for a code that never was."""
        return tuple(self._by_code.get(first_level(code), ()))

    def __len__(self) -> int:
        return sum(len(rows) for rows in self._by_code.values())


def normalise_code(code: str) -> str:
    """The code in its present form: the reversed older `000.00.00.H49` becomes `H49`, `00.01.H26` becomes `H26.01`."""
    text = code.strip().upper()
    if AGENCY_CODE.fullmatch(text):
        return text
    if REVERSED_CODE.match(text):
        parts = text.split(".")[::-1]
        return ".".join([parts[0], *(part for part in parts[1:] if part.strip("0"))])
    return text


def _closed_up(name: str) -> str:
    """A name without marks, case and spaces: Hà Nội, Ha Noi and Hanoi are one."""
    return fold(name).replace(" ", "")


def first_level(code: str) -> str:
    """The first-level part of a code: `H26` for `H26.01`."""
    return normalise_code(code).split(".", 1)[0]


@lru_cache(maxsize=1)
def directory() -> AgencyDirectory:
    """The directory in force, read once: `PORTALBUS_AGENCIES` if set, else the one shipped."""
    override = os.environ.get("PORTALBUS_AGENCIES")
    return AgencyDirectory.read(Path(override) if override else None)


def agency(code: str, on: date) -> Agency:
    """The agency with this code on this date. Raises AgencyUnknown."""
    return directory().agency(code, on)


def successors(code: str, on: date) -> tuple[Agency, ...]:
    """Who acts in the place of this code on this date. Raises AgencyUnknown."""
    return directory().successors(code, on)


def heir_of(code: str, on: date) -> str | None:
    """Who acts for this code on this date without anybody's choice; None where there is nobody, or a choice."""
    return directory().heir_of(code, on)


def _agency(row: dict[str, str]) -> Agency:
    return Agency(
        code=row["code"],
        name_vi=row.get("name_vi", ""),
        name_en=row.get("name_en", ""),
        kind=row["kind"],
        valid_from=date.fromisoformat(row["valid_from"]),
        valid_to=date.fromisoformat(row["valid_to"]) if row["valid_to"] else None,
        successor_codes=tuple(code for code in row["successor_codes"].split(";") if code),
        source=row.get("source", ""),
        confidence=row.get("confidence", ""),
    )
