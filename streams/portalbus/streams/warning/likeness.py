"""Feedback that many send in nearly the same words, and refusals that an agency writes again and again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from zlib import crc32

from portalbus.streams.warning.grouping import CAPACITY, CASE_ID_BYTES, Group, Groups
from portalbus.streams.warning.reading import Received, Refused
from portalbus.streams.warning.sketching import sketches
from portalbus.streams.warning.watch import EXAMPLES, Change

NEARLY_IDENTICAL = 0.8
"""Share of pairs of words that a copied refusal has in common with another one."""
REFUSED = 1 << 14
"""Refusals that are remembered."""


class Kind(StrEnum):
    """Of what many are alike."""

    FEEDBACK = "feedback"
    REFUSAL = "refusal"


class Bounds(NamedTuple):
    """From how many within `span` on it is told, and that it is over once nothing came for `quiet`."""

    least: int
    span: timedelta
    quiet: timedelta


BOUNDS = {
    Kind.FEEDBACK: Bounds(10, timedelta(days=1), timedelta(days=3)),
    Kind.REFUSAL: Bounds(5, timedelta(days=30), timedelta(days=30)),
}


class Alike(NamedTuple):
    """Like texts that begin to be many, grow or end. `about` is the agency of refusals; `first` names the group."""

    change: Change
    kind: Kind
    about: str
    first: str
    since: datetime
    observed: int
    where: tuple[str, ...]
    examples: tuple[str, ...]


class _Told(NamedTuple):
    size: int
    last: datetime


class LikenessWatch:
    """Groups texts as they come. `told` names groups that were told before a restart, with since when."""

    def __init__(self, told: dict[tuple[Kind, str, str], datetime] | None = None, capacity: int = CAPACITY) -> None:
        self._groups = {Kind.FEEDBACK: Groups(capacity), Kind.REFUSAL: Groups(REFUSED, NEARLY_IDENTICAL, CASE_ID_BYTES)}
        self._told = {key: _Told(0, since) for key, since in (told or {}).items()}
        self._since = dict(told or {})
        self._touched: dict[tuple[Kind, str, str], Group] = {}

    def received(self, many: Sequence[Received]) -> None:
        """Compares feedbacks with those before."""
        for one, sketch in zip(many, sketches([one.text for one in many]), strict=True):
            if sketch is not None:
                group = self._groups[Kind.FEEDBACK].add(sketch, one.code, one.series.area, one.received_at)
                self._touch(Kind.FEEDBACK, "", group)

    def refused(self, many: Sequence[Refused]) -> None:
        """Compares refusals with those of the same agency before."""
        for one, sketch in zip(many, sketches([one.text for one in many]), strict=True):
            if sketch is not None:
                salt = crc32(one.agency.encode())  # refusals of two agencies are never alike
                salted = [number ^ salt for number in sketch]
                group = self._groups[Kind.REFUSAL].add(salted, one.case_id, one.agency, one.answered_at)
                self._touch(Kind.REFUSAL, one.agency, group)

    def _touch(self, kind: Kind, about: str, group: Group | None) -> None:
        if group is not None:
            self._touched[kind, about, group.first] = group

    def look(self, now: datetime) -> list[Alike]:
        """What changed up to a moment."""
        changes = [
            change for key, group in self._touched.items() if (change := self._change(key, group, now)) is not None
        ]
        self._touched = {}
        over = [key for key, told in self._told.items() if now - told.last > BOUNDS[key[0]].quiet]
        for kind, about, first in over:
            told = self._told.pop((kind, about, first))
            since = self._since.pop((kind, about, first), told.last)
            changes.append(Alike(Change.ENDS, kind, about, first, since, told.size, (), ()))
        return changes

    def _change(self, key: tuple[Kind, str, str], group: Group, now: datetime) -> Alike | None:
        kind, about, first = key
        bounds, told = BOUNDS[kind], self._told.get(key)
        if told is not None:
            self._told[key] = _Told(told.size, max(told.last, group.last))
            if group.size < 2 * max(told.size, bounds.least):
                return None
        recent = sum(at > now - bounds.span for at in group.recent)
        if told is None and recent < bounds.least:
            return None
        self._told[key] = _Told(group.size, group.last)
        since = self._since.setdefault(key, group.begins)
        where = tuple(sorted({area for _, _, area in group.members}))
        examples = tuple(name for _, name, _ in group.members)[-EXAMPLES:]
        change = Change.BEGINS if told is None else Change.GROWS
        return Alike(change, kind, about, first, since, group.size, where, examples)
