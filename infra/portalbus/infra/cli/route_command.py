"""`portalbus route`: who handles a case, and why."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from datetime import date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portalbus.infra.cli.exits import NO, USAGE, Ended
from portalbus.infra.cli.marks import line, styled
from portalbus.infra.cli.options import Json, console, one_agency

if TYPE_CHECKING:
    from portalbus.schemas.law.routing import Routing

AREA = re.compile(r"[0-9]{2}")


class Level(StrEnum):
    """Levels of competence."""

    L0 = "L0"
    L1 = "L1"
    L2 = "L2"


def route(
    field: Annotated[str, typer.Option(help="What it is about, such as 'Giao thông'.")],
    area: Annotated[str | None, typer.Option(help="Statistical code of the province it concerns, such as 01.")] = None,
    level: Annotated[
        Level | None, typer.Option(help="Only rules of this level: Government Portal, ministry or province, unit.")
    ] = None,
    to: Annotated[str | None, typer.Option(metavar="AGENCY", help="The body that the case names.")] = None,
    from_: Annotated[str | None, typer.Option("--from", metavar="AGENCY", help="The body that received it.")] = None,
    on: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="On this day. [default: today]", show_default=False)
    ] = None,
    json_: Json = False,
) -> None:
    """Say who is competent for a case, by which rule, and through which bodies it goes.

    Exit status 1 when a person has to choose. The rules are those shipped, and over them the file named by
    PORTALBUS_COMPETENCE; a body that was merged or abolished is followed through the directory of that day.
    """
    from portalbus.schemas.directory import directory
    from portalbus.schemas.facts import VIET_NAM
    from portalbus.schemas.law.competence import competence
    from portalbus.schemas.law.routing import Matter
    from portalbus.schemas.law.routing import route as routed

    if area is not None and not AREA.fullmatch(area):
        raise Ended(USAGE, f"--area {area}: a province's statistical code has two digits, such as 01 for Hanoi")
    named, received_by = (one_agency(code) for code in (to, from_))
    try:
        rules = competence()
    except (OSError, ValueError) as error:
        raise Ended(USAGE, f"PORTALBUS_COMPETENCE: {error}") from error
    day = on.date() if on else datetime.now(VIET_NAM).date()
    found = routed(Matter(field, area, day, level.value if level else None, named, received_by), rules, directory())
    if json_:
        typer.echo(json.dumps(_as_json(found), ensure_ascii=False, indent=2))
    else:
        _print(found, day)
    if found.needs_person:
        raise Ended(NO)


def _print(found: Routing, day: date) -> None:
    from portalbus.schemas.directory import directory

    out = console()
    if found.agency:
        known = directory().agency(found.agency, day)
        out.print(styled(found.agency, "bold"), known.name_vi + (f", {found.level}" if found.level else ""))
        out.print(f"path: {' → '.join(found.path)}")
    else:
        out.print(
            line(styled("a person decides", "bold"), f"; the rules suggest {found.suggested}" * bool(found.suggested))
        )
    for sentence in found.why:
        out.print(f"  · {sentence}")
    for rule in found.rules:
        until = f" to {rule.valid_to}" if rule.valid_to else ""
        confidence = f"{rule.basis.value}, confidence {rule.confidence}"
        out.print(f"  · {rule.id}: in force from {rule.valid_from}{until}; {confidence}")


def _as_json(found: Routing) -> dict[str, Any]:
    said = json.loads(json.dumps(asdict(found), default=str))
    return {**said, "needs_person": found.needs_person}
