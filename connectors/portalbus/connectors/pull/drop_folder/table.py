"""A file as a table: its columns, then its rows with the numbers that a person sees beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from portalbus.connectors.pull.drop_folder.trouble import Trouble

Row = tuple[int, Sequence[Any]]
"""The row's number in the file, from 1 (the columns' names are in the first one as a rule), and its cells."""

MAX_COLUMNS = 512


class TableUnreadable(Exception):
    """A file is no table that can be read, or not on from here; `trouble` says why."""

    def __init__(self, rule: str, **params: object) -> None:
        self.trouble = Trouble(rule, {name: str(value) for name, value in params.items()})
        super().__init__(self.trouble.explain())


@dataclass(slots=True)
class Table:
    """An open file; reading on raises TableUnreadable where it turns out not to be sound."""

    columns: Sequence[str]
    rows: Iterator[Row]
    notes: list[str] = field(default_factory=list)


def named(cells: Sequence[Any]) -> list[str]:
    """The names in a row of names, without empty ones at its end; one in between is called by its number, `(3)`."""
    names = [str(cell).strip() if cell is not None else "" for cell in cells]
    while names and not names[-1]:
        names.pop()
    return [name or f"({number})" for number, name in enumerate(names, 1)]
