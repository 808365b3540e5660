"""`portalbus sources list|block|unblock`."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portalbus.infra.cli.exits import EPILOG, NO, Ended
from portalbus.infra.cli.marks import styled
from portalbus.infra.cli.options import (
    DatabaseUrl,
    Home,
    Json,
    Who,
    Why,
    addresses,
    agency_code,
    console,
    decider,
    local_time,
    one_agency,
)

if TYPE_CHECKING:
    from portalbus.streams.ledger.source_desk import ListedSource, SourceStatus

app = typer.Typer(
    help="The sources that were ever heard, and whether they may speak.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
)

COLOURS = {"late": "yellow", "silent": "red"}

Agency = Annotated[str, typer.Argument(help="Agency, such as H26.")]
Portal = Annotated[str, typer.Argument(help="Portal, such as www.")]


@app.command("list", epilog=EPILOG)
def list_(
    agency: Annotated[str | None, typer.Option(help="Only this agency, such as H26.")] = None,
    blocked: Annotated[bool, typer.Option("--blocked", help="Only those that are blocked.")] = False,
    json_: Json = False,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """List the sources: who blocked them and why, and whether they are heard as often as is usual of them.

    A source is ok, quiet, late or silent, by its own heartbeats and the cadence of its event types. Exit status 1 while
    one of them is blocked.
    """
    from portalbus.streams.ledger.database import connect
    from portalbus.streams.ledger.source_desk import list_sources

    code = one_agency(agency)
    where = addresses(home, ("database_url",), database_url=database_url)
    with connect(where.database_url, application="sources", autocommit=True) as connection:
        found = list_sources(connection, code, blocked=blocked)
    if json_:
        typer.echo(json.dumps([asdict(one) for one in found], indent=2, ensure_ascii=False, default=_plain))
    elif not found:
        console().print("no source is blocked" if blocked else "no source was heard yet")
    else:
        _show(found)
    if any(one.status == "blocked" for one in found):
        raise Ended(NO)


@app.command("block", epilog=EPILOG)
def block(
    agency: Agency,
    portal: Portal,
    why: Why,
    who: Who = None,
    json_: Json = False,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """Refuse what a source sends from now on, by the rule source.blocked; nobody else notices.

    For a portal that was broken into, or floods the bus. What was accepted stays, and what waits goes on. Refused
    events keep their places: after `unblock` the portal may send them again. Exit status 1 when nothing changes.
    """
    _decide(agency, portal, "blocked", why, who, database_url, home, as_json=json_)


@app.command("unblock", epilog=EPILOG)
def unblock(
    agency: Agency,
    portal: Portal,
    why: Why,
    who: Who = None,
    json_: Json = False,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """Let a blocked source speak again. Exit status 1 when nothing changes."""
    _decide(agency, portal, "active", why, who, database_url, home, as_json=json_)


def _decide(
    agency: str,
    portal: str,
    status: str,
    why: str,
    who: str | None,
    database_url: str | None,
    home: Path | None,
    *,
    as_json: bool,
) -> None:
    from portalbus.streams.ledger.database import connect
    from portalbus.streams.ledger.source_desk import SourceStatus, SourceUnknown, set_source

    code = agency_code(agency)
    by, reason = decider(who, why)
    wanted = SourceStatus(status)
    where = addresses(home, ("database_url",), database_url=database_url)
    try:
        with connect(where.database_url, application="sources") as connection:
            changed = set_source(connection, code, portal, wanted, who=by, why=reason)
    except SourceUnknown:
        raise Ended(NO, f"nothing was ever heard of {code}/{portal}: see `portalbus sources list`") from None
    if not changed:
        raise Ended(NO, f"{code}/{portal} is {_word(wanted)} already")
    if as_json:
        typer.echo(json.dumps({"agency": code, "portal": portal, "status": wanted.value}))
    else:
        console().print(f"{code}/{portal} is {_word(wanted)}")


def _word(status: SourceStatus) -> str:
    return "blocked" if status == "blocked" else "not blocked"


def _show(found: list[ListedSource]) -> None:
    from rich.table import Table

    columns = ("source", "may speak", "heard", "last heard", "by", "why")
    table = Table(*columns, box=None, header_style="bold")
    for one in found:
        status = f"{one.status} since {local_time(one.decided_at)}" if one.decided_at else one.status
        heard = "–" if one.status == "blocked" else f"{one.state} since {local_time(one.state_since)}"
        table.add_row(
            f"{one.agency}/{one.portal}",
            status,
            styled(heard, COLOURS.get(one.state, "")),
            local_time(one.last_heard_at),
            one.decided_by or "–",
            one.why,
        )
    console().print(table)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
