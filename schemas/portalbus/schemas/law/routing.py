"""Who handles a case, and why: the rules of competence and the dated directory, put together. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from portalbus.schemas.directory import AgencyDirectory, first_level
from portalbus.schemas.errors import AgencyUnknown
from portalbus.schemas.law.competence import Competence, CompetenceRule, Handler


@dataclass(frozen=True, slots=True)
class Matter:
    """What is known of a case: its field in words, the statistical code of its province, on which day it came.

    `level` asks for L0, L1 or L2 alone. `named` is the body it is addressed to; `received_by` the one that took it in.
    """

    field: str
    area: str | None
    on: date
    level: str | None = None
    named: str | None = None
    received_by: str | None = None


@dataclass(frozen=True, slots=True)
class Routing:
    """Who handles a case: one `agency`, or None where a person has to choose, among `candidates` if there are any.

    `suggested` is what the rules say where they do not decide. `path` are the bodies it passes through. `why` tells in
    sentences what was looked at, in order.
    """

    agency: str | None
    level: str | None
    rules: tuple[CompetenceRule, ...]
    candidates: tuple[str, ...]
    suggested: str | None
    path: tuple[str, ...]
    why: tuple[str, ...]

    @property
    def needs_person(self) -> bool:
        """True when nobody may decide but a person."""
        return self.agency is None


def route(matter: Matter, competence: Competence, directory: AgencyDirectory) -> Routing:
    """Who handles a case.

    A body that the case names goes before the rules, for it has the case already; one that is no more is followed to
    its successors. Several successors, or rules that name several, are a person's choice.
    """
    rules = competence.matching(matter.field, matter.area, matter.level, matter.on)
    why = [_told(matter, rules)]
    by_rules = _handlers(matter, rules, competence, directory, why)
    by_name = _heirs(matter.named, matter.on, directory, why) if matter.named else None
    found = by_rules if by_name is None else by_name
    agency = found[0] if len(found) == 1 else None
    suggested = by_rules[0] if len(by_rules) == 1 else None
    if by_name is not None and suggested is not None and not _is_among(suggested, by_name):
        why.append(f"the case names {matter.named}; by the rules {suggested} is competent")
    if agency is None:
        why.append(f"a person chooses among {', '.join(found)}" if found else "a person chooses: nothing names a body")
    return Routing(
        agency=agency,
        level=_level(agency, rules),
        rules=rules,
        candidates=() if agency else tuple(found),
        suggested=suggested,
        path=way(matter.received_by, agency) if agency else (),
        why=tuple(why),
    )


def way(sender: str | None, agency: str) -> tuple[str, ...]:
    """The bodies a case passes through: between units of two bodies it goes through their first levels."""
    if sender is None:
        return tuple(dict.fromkeys((first_level(agency), agency)))
    if first_level(sender) == first_level(agency):  # its own body decides how it gets there
        return tuple(dict.fromkeys((sender, agency)))
    return tuple(dict.fromkeys((sender, first_level(sender), first_level(agency), agency)))


def _told(matter: Matter, rules: Sequence[CompetenceRule]) -> str:
    where = f"area {matter.area}" if matter.area else "no area"
    level = f", level {matter.level}" if matter.level else ""
    asked = f"field “{matter.field}”, {where}{level}, on {matter.on}"
    if not rules:
        return f"{asked}: no rule speaks of it"
    return f"{asked}: " + "; ".join(f"rule {rule.id} ({rule.legal_basis})" for rule in rules)


def _handlers(
    matter: Matter,
    rules: Sequence[CompetenceRule],
    competence: Competence,
    directory: AgencyDirectory,
    why: list[str],
) -> list[str]:
    """The bodies that the rules name, each followed to who acts for it on that day."""
    found: dict[str, None] = {}
    for rule in rules:
        handler = rule.handler
        if handler in set(Handler):
            province = competence.provinces.get(matter.area or "")
            if province is None:
                why.append(f"area {matter.area} is no province of the table")
                continue
            why.append(f"area {matter.area} is {province}")
            if handler == Handler.UNIT:
                why.append(f"{province} passes it to its competent unit")
            handler = province
        found |= dict.fromkeys(_heirs(handler, matter.on, directory, why))
    return list(found)


def _heirs(code: str, on: date, directory: AgencyDirectory, why: list[str]) -> list[str]:
    """Who acts for a body on a day: itself while it exists."""
    try:
        heirs = [heir.code for heir in directory.successors(code, on)]
    except AgencyUnknown:
        why.append(f"no agency has the code {code}")
        return []
    if heirs == [first_level(code)]:
        return [code]
    why.append(f"{code} did not exist on {on}; succeeded by {', '.join(heirs) or 'nobody'}")
    return heirs


def _is_among(agency: str, others: Sequence[str]) -> bool:
    return any(first_level(agency) == first_level(other) for other in others)


def _level(agency: str | None, rules: Sequence[CompetenceRule]) -> str | None:
    levels = {rule.level for rule in rules}
    return levels.pop() if agency and len(levels) == 1 else None
