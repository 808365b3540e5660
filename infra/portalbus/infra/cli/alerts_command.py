"""`portalbus alerts`, with `list` and `close`."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portalbus.infra.cli.exits import EPILOG, NO, USAGE, Ended
from portalbus.infra.cli.marks import mark, styled
from portalbus.infra.cli.options import (
    USUAL_LANGUAGE,
    DatabaseUrl,
    Home,
    Json,
    Lang,
    Who,
    addresses,
    console,
    decider,
    in_language,
    local_time,
    one_agency,
    options_of_its_own,
)

if TYPE_CHECKING:
    from portalbus.schemas.notices import Alert
    from portalbus.streams.ledger.alert_list import ListedAlert

app = typer.Typer(rich_markup_mode=None)

Agency = Annotated[str | None, typer.Option(help="Only this agency, such as H26.")]
All = Annotated[bool, typer.Option("--all", help="Also those that are over.")]


@app.callback(invoke_without_command=True, epilog=EPILOG)
def alerts(
    context: typer.Context,
    agency: Agency = None,
    all_: All = False,
    lang: Lang = USUAL_LANGUAGE,
    json_: Json = False,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """List what needs somebody to look: silent sources, late canaries, lanes unheard; exit status 1 while one is open.

    An alert closes by itself when its cause is gone. The same alerts are on the topic central.alert.
    """
    options_of_its_own(context)
    if context.invoked_subcommand is None:
        list_(agency, all_, lang, json_, database_url, home)


@app.command("list", epilog=EPILOG)
def list_(
    agency: Agency = None,
    all_: All = False,
    lang: Lang = USUAL_LANGUAGE,
    json_: Json = False,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """List the open alerts, newest first; exit status 1 while one is open."""
    from portalbus.streams.ledger.alert_list import list_alerts
    from portalbus.streams.ledger.database import connect

    code = one_agency(agency)
    where = addresses(home, ("database_url",), database_url=database_url)
    with connect(where.database_url, application="alerts", autocommit=True) as connection:
        found = list_alerts(connection, code, closed=all_)
    still_open = [alert for alert in found if alert.closed_at is None]
    if json_:
        typer.echo(json.dumps([_plain(alert) for alert in found], indent=2, ensure_ascii=False))
    elif not found:
        of = f" of {code}" if code else ""
        console().print(f"there never was an alert{of}" if all_ else f"no alert{of} is open")
    else:
        _show(found, lang)
    if still_open:
        raise Ended(NO)


@app.command("close", epilog=EPILOG)
def close(
    alert_id: Annotated[str, typer.Argument(metavar="ID", help="The alert, as `portalbus alerts list` names it.")],
    why: Annotated[str, typer.Option(help="The reason; it is kept, and told on central.alert.")],
    who: Who = None,
    json_: Json = False,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """Close an alert whose cause nobody will mend, such as the silence of a portal that was switched off for good.

    Who and why is kept and shown by `portalbus alerts list --all`. What is looked at anew each time (differences, late
    answers, lanes unheard) is raised again while it lasts. Exit status 1 when no alert of this id is open.
    """
    from portalbus.streams.ledger.alerts import close_by_hand
    from portalbus.streams.ledger.database import connect

    by, reason = decider(who, why)
    try:
        name = str(uuid.UUID(alert_id))
    except ValueError:
        raise Ended(USAGE, f"{alert_id} is no id of an alert: `portalbus alerts list` shows them") from None
    where = addresses(home, ("database_url",), database_url=database_url)
    with connect(where.database_url, application="alerts") as connection:
        closed = close_by_hand(connection, name, who=by, why=reason)
    if closed is None:
        raise Ended(NO, f"no alert {name} is open: see `portalbus alerts list --all`")
    if json_:
        typer.echo(closed.model_dump_json(indent=2))
        return
    console().print(f"{closed.kind} about {_about(closed)} closed")


def _about(alert: ListedAlert | Alert) -> str:
    return "/".join(filter(None, (alert.agency, alert.portal, alert.event_type))) or "the bus"


def _show(found: list[ListedAlert], lang: str) -> None:
    from rich.table import Column, Table

    whole = Column("id", no_wrap=True, min_width=36, overflow="fold")  # `close` needs all of it
    table = Table("", "raised", "over", "kind", "about", "what", whole, box=None, header_style="bold")
    for alert in found:
        sign = mark(True) if alert.closed_at else styled("●", "red")
        said = in_language(alert.texts, lang)
        if alert.closed_by:
            said += f" (closed by {alert.closed_by}: {alert.closed_why})"
        times = (local_time(alert.raised_at), local_time(alert.closed_at))
        table.add_row(sign, *times, alert.kind, _about(alert), said, alert.id)
    console().print(table)


def _plain(alert: ListedAlert) -> dict[str, Any]:
    fields = asdict(alert)
    return {name: value.isoformat() if isinstance(value, datetime) else value or None for name, value in fields.items()}
