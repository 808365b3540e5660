"""`portalbus alerts`."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portalbus.infra.cli.exits import NO, Ended
from portalbus.infra.cli.options import USUAL_LANGUAGE, DatabaseUrl, Home, Json, Lang, addresses, console, in_language

if TYPE_CHECKING:
    from portalbus.streams.ledger.alert_list import ListedAlert


def alerts(
    agency: Annotated[str | None, typer.Option(help="Only this agency, such as H26.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    lang: Lang = USUAL_LANGUAGE,
    json_: Json = False,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """List what needs somebody to look: silent sources, late canaries, lanes unheard; exit status 1 while one is open.

    An alert closes by itself when its cause is gone. The same alerts are on the topic central.alert.
    """
    from portalbus.streams.ledger.alert_list import list_alerts
    from portalbus.streams.ledger.database import connect

    where = addresses(home, ("database_url",), database_url=database_url)
    with connect(where.database_url, application="alerts", autocommit=True) as connection:
        found = list_alerts(connection, agency, closed=all_)
    still_open = [alert for alert in found if alert.closed_at is None]
    if json_:
        typer.echo(json.dumps([_plain(alert) for alert in found], indent=2, ensure_ascii=False))
    elif not found:
        of = f" of {agency}" if agency else ""
        console().print(f"there never was an alert{of}" if all_ else f"no alert{of} is open")
    else:
        _show(found, lang)
    if still_open:
        raise Ended(NO)


def _show(found: list[ListedAlert], lang: str) -> None:
    from rich.table import Table

    table = Table("", "raised", "over", "kind", "about", "what", box=None, header_style="bold")
    for alert in found:
        about = "/".join(filter(None, (alert.agency, alert.portal, alert.event_type))) or "the bus"
        mark = "[green]✓[/green]" if alert.closed_at else "[red]●[/red]"
        table.add_row(
            mark, _time(alert.raised_at), _time(alert.closed_at), alert.kind, about, in_language(alert.texts, lang)
        )
    console().print(table)


def _plain(alert: ListedAlert) -> dict[str, Any]:
    fields = asdict(alert)
    return {name: value.isoformat() if isinstance(value, datetime) else value or None for name, value in fields.items()}


def _time(moment: datetime | None) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else "–"
