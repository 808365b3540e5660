"""Of what feedback is counted: a field in an area, and what such a series is a part of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

EVERY = "*"
"""All fields, or all areas."""
NONE_SAID = ""


class Series(NamedTuple):
    """A field of government work in an area (a statistical code of a province); `EVERY` for all of them."""

    field: str
    area: str

    def parents(self) -> Iterator[Series]:
        """What it is counted in besides, the nearest first."""
        if self.field != EVERY and self.area != EVERY:
            yield Series(self.field, EVERY)
            yield Series(EVERY, self.area)
        if self != COUNTRY:
            yield COUNTRY

    def overlaps(self, other: Series) -> bool:
        """True when a feedback can belong to both."""
        return all(mine == its or EVERY in (mine, its) for mine, its in zip(self, other, strict=True))


COUNTRY = Series(EVERY, EVERY)
