"""What the rules of competence decide by themselves: where a case goes that lies untouched with the centre. Pure.

See docs/adr/0046-rules-decide-where-nobody-else-has.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from portalbus.schemas.directory import AgencyDirectory, first_level
from portalbus.schemas.law.competence import EVERY, Competence, CompetenceRule
from portalbus.schemas.law.levels import GOVERNMENT_PORTAL
from portalbus.schemas.law.limits import CONFIDENCES, Limited, Limits
from portalbus.schemas.law.routing import Matter, Routing, route


class Left(StrEnum):
    """Why the rules do not hand a case on."""

    OWN = "own"
    """A rule for its field names the Government Portal: the case is where it belongs."""
    NO_BODY = "no-body"
    """No rule names a body, or only the one by which the Government Portal passes on whatever it receives."""
    SEVERAL = "several"
    """Several bodies are named, or came after the one that is."""
    UNSURE = "unsure"
    """One body is named, by rules that nobody is sure enough of."""
    CAME_FROM = "came-from"
    """The body that the rules name received the case, and held that it is the Government Portal's."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What comes of a case: it goes `to` a body, or is `left` for a reason, with the `candidates` of today.

    `routing` tells what was looked at.
    """

    to: str | None
    left: Left | None
    candidates: tuple[str, ...]
    routing: Routing

    @property
    def needs_person(self) -> bool:
        """True when a person has to decide where the case goes."""
        return self.left is not None and self.left is not Left.OWN


def rule(matter: Matter, today: date, competence: Competence, directory: AgencyDirectory, limits: Limits) -> Ruling:
    """Where the rules of the day on which the case came send it, and no guess.

    `matter.received_by` took the case in. Bodies are followed to who acts for them `today`.
    """
    routing = route(matter, competence, directory)
    bodies = _living(routing, today, directory)
    if len(bodies) != 1:
        return Ruling(None, Left.SEVERAL if bodies else Left.NO_BODY, bodies, routing)
    (body,) = bodies
    if first_level(body) == GOVERNMENT_PORTAL:
        own = any(rule.fields != (EVERY,) for rule in routing.rules)
        return Ruling(None, Left.OWN if own else Left.NO_BODY, (), routing)
    if matter.received_by is not None and first_level(matter.received_by) == first_level(body):
        return Ruling(None, Left.CAME_FROM, bodies, routing)
    if max(map(_confidence, routing.rules)) < limits.of(Limited.RULE_CONFIDENCE, today):
        return Ruling(None, Left.UNSURE, bodies, routing)
    return Ruling(body, None, bodies, routing)


def reason(ruling: Ruling, matter: Matter) -> str:
    """Why the rules hand a case on, for the bodies concerned and whoever asks later: which rules, and what they saw."""
    rules = "; ".join(f"{rule.id} (cấp {rule.level}; {rule.legal_basis})" for rule in ruling.routing.rules)
    area = f"địa bàn {matter.area}" if matter.area else "không nêu địa bàn"
    said = f"lĩnh vực “{matter.field}”" if matter.field else "không nêu lĩnh vực"
    seen = f"{said}, {area}, ngày tiếp nhận {matter.on:%d/%m/%Y}"
    return f"Chuyển đến {ruling.to} theo quy tắc thẩm quyền {rules}. Căn cứ: {seen}."


def _confidence(rule: CompetenceRule) -> int:
    return CONFIDENCES.index(rule.confidence) + 1 if rule.confidence in CONFIDENCES else 0


def _living(routing: Routing, today: date, directory: AgencyDirectory) -> tuple[str, ...]:
    """The bodies that the rules name, each followed to who acts for it by now."""
    found: dict[str, None] = {}
    for code in (routing.agency,) if routing.agency else routing.candidates:
        heir = directory.heir_of(code, today)
        found |= dict.fromkeys([heir] if heir else [body.code for body in directory.successors(code, today)])
    return tuple(found)
