"""Cases that only a person may move on, with what the rules would suggest. No text, no person.

Their body is no more and has several successors or none; a transfer of theirs was refused, as a loop, one too many or
to several; they went up to the Government Portal, where a person decides; or they were sent to it, and no rule of
competence gives them to one other body.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, LiteralString

from psycopg import Connection
from psycopg.rows import class_row

from portalbus.schemas.directory import AgencyDirectory
from portalbus.schemas.law.competence import Competence
from portalbus.schemas.law.levels import GOVERNMENT_PORTAL
from portalbus.schemas.law.limits import limits
from portalbus.schemas.law.routing import Matter, Routing, route
from portalbus.streams.reading.held import HeldCase, InForce, held

COLUMNS: LiteralString = (
    "c.case_id, c.owner, c.receiver, c.field, c.area,"
    " case when c.urgent then 'URGENT' else 'NORMAL' end as urgency, c.received_at, coalesce(c.passed, '{}') as passed"
)
OWNERS: LiteralString = "select distinct owner from ledger.case where state = 'RECEIVED'"
OF_OWNERS: LiteralString = f"""
select {COLUMNS}, null as rule, null as refused_to from ledger.case c
where c.state = 'RECEIVED' and (c.owner = any(%(ended)s) or c.owner = %(centre)s and cardinality(c.passed) > 1)"""
# Refused since the case came to the body that has it: after the next transfer nobody has to decide any more.
REFUSED: LiteralString = f"""
select distinct on (c.case_id) {COLUMNS}, e.rule, coalesce(j.params->>'to', j.params->>'code') as refused_to
from ledger.event e join ledger.case c on c.case_id = e.key and c.state = 'RECEIVED'
join ledger.judgement j on j.position = e.position
where e.status = 'REJECTED' and e.rule in ('case.transfer-loop', 'case.too-many-transfers', 'case.transfer-to-several')
  and split_part(e.agency, '.', 1) = split_part(c.owner, '.', 1) and not exists (
    select from ledger.case_step s
    where s.case_id = c.case_id and s.step = 'TRANSFERRED' and s.position > e.position)
order by c.case_id, e.position desc"""


class Cause(StrEnum):
    """Why a person has to decide."""

    SEVERAL_SUCCESSORS = "several-successors"
    NO_SUCCESSOR = "no-successor"
    TRANSFER_REFUSED = "transfer-refused"
    SENT_UP = "sent-up"
    NOT_RULED = "not-ruled"


@dataclass(frozen=True, slots=True)
class OpenCase:
    """A case as it lies there; `passed` are the bodies that had it, `rule` refused to give it to `refused_to`."""

    case_id: str
    owner: str
    receiver: str
    field: str | None
    area: str | None
    urgency: str
    received_at: datetime
    passed: list[str]
    rule: str | None
    refused_to: str | None


@dataclass(frozen=True, slots=True)
class Undecided:
    """A case that waits for a person: why, among whom to choose, and what the rules suggest (None: nothing).

    `rules` are the ids of the rules of competence that speak of it, `why` what was looked at, in sentences.
    """

    case: OpenCase
    cause: Cause
    candidates: tuple[str, ...]
    suggested: str | None
    rules: tuple[str, ...]
    why: tuple[str, ...]


def undecided(
    connection: Connection[Any], directory: AgencyDirectory, competence: Competence, today: date
) -> list[Undecided]:
    """Every case that waits for a person, urgent ones first, then the oldest."""
    owners = [owner for (owner,) in connection.execute(OWNERS)]
    ended = [owner for owner in owners if directory.heir_of(owner, today) is None]
    found: dict[str, Undecided] = {}
    with connection.cursor(row_factory=class_row(OpenCase)) as cursor:
        refused = cursor.execute(REFUSED).fetchall()
        of_owners = cursor.execute(OF_OWNERS, {"ended": ended, "centre": GOVERNMENT_PORTAL}).fetchall()
    for case in (*refused, *of_owners):  # what is wrong with its body says more than what was refused
        found[case.case_id] = _undecided(case, ended, directory, competence, today)
    in_force = InForce(competence, directory, limits(), today)
    for one in (_left(case, in_force) for case in held(connection)):
        if one is not None:
            found.setdefault(one.case.case_id, one)
    return sorted(found.values(), key=lambda one: (one.case.urgency != "URGENT", one.case.received_at))


def _undecided(
    case: OpenCase, ended: Iterable[str], directory: AgencyDirectory, competence: Competence, today: date
) -> Undecided:
    named = next(_named(case, ended), None)
    routing = route(Matter(case.field or "", case.area, today, named=named), competence, directory)
    if case.owner in ended:
        cause = Cause.SEVERAL_SUCCESSORS if routing.candidates else Cause.NO_SUCCESSOR
    else:
        cause = Cause.TRANSFER_REFUSED if case.rule else Cause.SENT_UP
    return Undecided(
        case,
        cause,
        routing.candidates,
        _suggested(routing, case),
        tuple(rule.id for rule in routing.rules),
        routing.why,
    )


def _left(held: HeldCase, in_force: InForce) -> Undecided | None:
    """A case that the rules leave to a person, or by which their decision was refused; None for every other."""
    ruling = in_force.ruling(held)
    if held.pending or not (ruling.needs_person or held.is_decided):
        return None
    case = OpenCase(
        case_id=held.case_id,
        owner=GOVERNMENT_PORTAL,
        receiver=held.receiver,
        field=held.field,
        area=held.area,
        urgency="URGENT" if held.urgent else "NORMAL",
        received_at=held.received_at,
        passed=[],
        rule=held.judged,
        refused_to=ruling.to if held.judged else None,
    )
    several = len(ruling.candidates) > 1
    return Undecided(
        case,
        Cause.TRANSFER_REFUSED if held.judged else Cause.NOT_RULED,
        ruling.candidates if several else (),
        None if several else next(iter(ruling.candidates), None),
        tuple(rule.id for rule in ruling.routing.rules),
        ruling.routing.why,
    )


def _named(case: OpenCase, ended: Iterable[str]) -> Iterator[str]:
    """The body whose successors are to be chosen among, if it is about that."""
    if case.owner in ended:
        yield case.owner
    if case.rule == "case.transfer-to-several" and case.refused_to:
        yield case.refused_to


def _suggested(routing: Routing, case: OpenCase) -> str | None:
    """The body that the rules name, if it is another one than the one that has the case."""
    body = routing.suggested or routing.agency
    return None if body == case.owner else body
