"""Composes reports from what was read of the ledger. Nothing in them comes from a citizen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from portalbus.connectors.alerting.document import Document, Section, Table
from portalbus.connectors.central import formats
from portalbus.connectors.central.agency_names import AgencyNames
from portalbus.connectors.central.wording import Words, all_words
from portalbus.schemas.directory import AgencyDirectory
from portalbus.schemas.zone import ZONE
from portalbus.streams.reading.synthesis import Synthesis
from portalbus.streams.reading.unclaimed import Unclaimed
from portalbus.streams.warning.places import provinces

TEXTS = "portalbus.connectors.alerting"
NOTHING = "–"
MOST_ROWS = 200
"""Cases that a report names; the count in the title is of all."""


class Composer:
    """Writes reports in one language."""

    def __init__(self, language: str, names: AgencyNames | None = None) -> None:
        self._language = language
        self._words: Words = all_words(TEXTS)[language]
        self._names = names or AgencyNames(AgencyDirectory.read())

    def urgent(self, cases: Sequence[Unclaimed], now: datetime) -> Document:
        """The urgent cases that nobody has taken: those that stand before the Government first."""
        words = self._words
        top = [one for one in cases if one.asked is None]
        climbing = [one for one in cases if one.asked is not None]
        sections = [
            Section(words(f"urgent.{name}", n=len(some)), table=self._cases(some, now))
            for name, some in (("top", top), ("climbing", climbing))
            if some
        ]
        nothing = Section(words("urgent.none_title"), (words("urgent.none"),))
        return Document(
            self._language,
            words("urgent.title", at=formats.instant(now, self._language)),
            tuple(sections) or (nothing,),
            words("urgent.foot"),
        )

    def day(self, found: Synthesis) -> Document:
        """The synthesis of a day."""
        words = self._words
        of = self._name(found.agency, found.day) if found.agency else words(f"day.of.{found.level or 'country'}")
        sections = [
            Section(words("day.came", n=found.received), self._counts(found)),
            Section(words("day.levels"), table=self._levels(found)) if found.by_level else None,
            Section(words("day.answered", n=found.answered), self._speed(found)),
            Section(words("day.refused", n=found.refused), (self._named(found.refusals, "reason"),))
            if found.refused
            else None,
            self._overdue(found),
            self._incidents(found),
        ]
        title = words("day.title", day=formats.day(found.day, self._language), of=of)
        return Document(self._language, title, tuple(one for one in sections if one), words("day.foot"))

    def _cases(self, cases: Sequence[Unclaimed], now: datetime) -> Table:
        words = self._words
        head = ("case", "agency", "about", "received", "missed", "stands")
        today = now.astimezone(ZONE).date()
        rows = tuple(
            (
                formats.public_code(one.public_code) if one.public_code else one.case_id,
                self._name(one.agency, today),
                ", ".join(filter(None, (one.field, self._area(one.area)))) or NOTHING,
                self._at(one.received_at),
                "; ".join(
                    words("urgent.missed_by", agency=self._name(level.agency, today), at=self._at(level.due_at))
                    for level in one.missed
                )
                or NOTHING,
                words("urgent.asked", agency=self._name(one.asked.agency, today), at=self._at(one.asked.due_at))
                if one.asked
                else words("urgent.on_top", at=self._at(one.missed[-1].due_at)),
            )
            for one in cases[:MOST_ROWS]
        )
        return Table(tuple(words(f"urgent.{name}") for name in head), rows)

    def _counts(self, found: Synthesis) -> tuple[str, ...]:
        agencies = {self._name(code, found.day): count for code, count in found.by_agency.items()}
        areas = {self._area(code) or NOTHING: count for code, count in found.by_area.items()}
        parts = (("field", found.by_field), ("area", areas), ("body", agencies))
        return tuple(self._words(f"day.by_{name}", list=self._named(counts)) for name, counts in parts if counts)

    def _levels(self, found: Synthesis) -> Table:
        words = self._words
        head = ("level", "received_head", "answered_head", "refused_head", "overdue_head")
        rows = tuple(
            (words(f"day.of.{level}"), str(one.received), str(one.answered), str(one.refused), str(one.overdue))
            for level, one in found.by_level.items()
        )
        return Table(tuple(words(f"day.{name}") for name in head), rows)

    def _speed(self, found: Synthesis) -> tuple[str, ...]:
        if found.median_hours is None or found.ninth_hours is None:
            return ()
        return (self._words("day.speed", half=f"{found.median_hours:g}", nine=f"{found.ninth_hours:g}"),)

    def _overdue(self, found: Synthesis) -> Section | None:
        if not found.overdue:
            return None
        words = self._words
        rows = tuple(
            (self._name(one.agency, found.day), str(one.count), self._at(one.oldest))
            for one in found.overdue[:MOST_ROWS]
        )
        head = (words("urgent.agency"), words("day.overdue_head"), words("day.oldest"))
        return Section(words("day.overdue", n=sum(one.count for one in found.overdue)), table=Table(head, rows))

    def _incidents(self, found: Synthesis) -> Section | None:
        if not found.incidents:
            return None
        words = self._words
        lines = tuple(
            words(
                "day.incident",
                kind=words.name("incident", one.kind.replace(".", "_")),
                topic=" ".join(filter(None, (one.agency, one.topic))),
                since=self._at(one.since),
                until=self._at(one.closed_at) if one.closed_at else words("day.still"),
            )
            for one in found.incidents[:MOST_ROWS]
        )
        return Section(words("day.incidents", n=len(found.incidents)), lines)

    def _named(self, counts: Mapping[str, int], group: str = "") -> str:
        return ", ".join(
            f"{self._words.name(group, name) if group else name or self._words('day.not_said')}: {count}"
            for name, count in counts.items()
        )

    def _name(self, code: str, on: date) -> str:
        return self._names.name(code, on).in_language(self._language)

    def _area(self, code: str | None) -> str:
        province = provinces().get(code or "")
        if province is None:
            return code or ""
        return province.name_vi if self._language == "vi" else province.name_en

    def _at(self, moment: datetime) -> str:
        return formats.instant(moment, self._language)
