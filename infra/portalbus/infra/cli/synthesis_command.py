"""`portalbus synthesis`: a day in figures."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from portalbus.infra.cli.exits import USAGE, Ended
from portalbus.infra.cli.options import DatabaseUrl, Home, Json, addresses, console, one_agency

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portalbus.streams.reading.synthesis import Synthesis


def synthesis(
    on: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The day, of Viet Nam. [default: yesterday]", show_default=False),
    ] = None,
    agency: Annotated[str | None, typer.Option(help="Only this agency and its units, such as H26.")] = None,
    level: Annotated[
        str | None, typer.Option(help="Only one level: central, ministry, province or unit (communes among them).")
    ] = None,
    json_: Json = False,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """Tell what came on a day, where and how many, how fast answers were, what is overdue, and what was refused."""
    from portalbus.schemas.zone import ZONE
    from portalbus.streams.ledger.database import connect
    from portalbus.streams.reading.synthesis import Level, read_synthesis

    day = on.date() if on else datetime.now(ZONE).date() - timedelta(days=1)
    if level is not None and level not in set(Level):
        raise Ended(USAGE, f"--level {level}: one of {', '.join(Level)}")
    code = one_agency(agency)
    where = addresses(home, ("database_url",), database_url=database_url)
    with connect(where.database_url, application="synthesis", autocommit=True) as connection:
        found = read_synthesis(connection, day, code, Level(level) if level else None)
    if json_:
        typer.echo(json.dumps(asdict(found), default=str, indent=2, ensure_ascii=False))
    else:
        _show(found)


def _show(found: Synthesis) -> None:
    say = console().print
    of = found.agency or "the whole country"
    say(f"{found.day} · {of}{f' · {found.level}' if found.level else ''}", style="bold")
    say(f"received {found.received}")
    for title, counts in (("field", found.by_field), ("area", found.by_area), ("body", found.by_agency)):
        if counts:
            say(f"  by {title}: {_named(counts)}")
    for name, its in found.by_level.items():
        told = f"received {its.received}, answered {its.answered}, refused {its.refused}, overdue {its.overdue}"
        say(f"  {name}: {told}")
    if found.answered:
        speed = f"half within {found.median_hours:g} h, nine of ten within {found.ninth_hours:g} h"
        say(f"answered {found.answered}, {speed}")
    else:
        say("answered 0")
    if found.refusals:
        say(f"refused {found.refused}: {_named(found.refusals)}")
    say(f"answers overdue {sum(one.count for one in found.overdue)}")
    for one in found.overdue[:10]:
        say(f"  {one.agency}: {one.count}, the oldest since {_there(one.oldest):.10}")
    for incident in found.incidents:
        until = f"until {_there(incident.closed_at)}" if incident.closed_at else "still open"
        say(f"warned {incident.kind} {incident.topic} since {_there(incident.since)}, {until}")


def _there(moment: datetime) -> str:
    """A time in Viet Nam, whose day this is."""
    from portalbus.schemas.zone import ZONE

    return f"{moment.astimezone(ZONE):%Y-%m-%d %H:%M}"


def _named(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name or 'not said'} {count}" for name, count in counts.items())
